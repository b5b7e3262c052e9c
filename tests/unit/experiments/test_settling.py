"""Time to settle and energy of a run, on the command line and as a figure."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.cli import main
from neurohw.errors import InvalidValueError, RunFileError
from neurohw.experiments import configuration, run_file, settling, trainer
from neurohw.experiments.trained_circuit import trained
from neurohw.reports.pictures import FORMATS
from neurohw.reports.settling import draw

SETTINGS = (
    *("data.train=40", "network.hidden=[8]", "learning.nudging=0.02"),
    *("training.engine=transient", "relaxation.free_time=1 us", "relaxation.nudged_time=0.5 us"),
)


@pytest.fixture(scope="module")
def run():
    """A run that was not trained, with phases of its own."""
    return trainer.train(configuration.load("drn-digits", settings=SETTINGS, epochs=0))


def test_phases_are_the_runs(run):
    phases = settling.measure(run, samples=3)
    assert_allclose(phases.free.times[-1], 1e-6)
    assert_allclose(phases.nudged.times[-1], 0.5e-6)
    assert (phases.free.settled_at < 1e-6).all()
    for before, after in zip(phases.free.end.state, phases.nudged.start, strict=True):
        assert_allclose(after, before)
    energy = phases.energy
    delivered, dissipated = (sum(energy[side].values()) for side in ("delivered", "dissipated"))
    assert delivered > 0
    assert_allclose(delivered, dissipated + energy["stored"]["capacitors"], rtol=1e-5)


@pytest.mark.parametrize("kind", ["current", "clamp"])
def test_nudging_is_that_of_the_chip(run, kind):
    circuit = msgspec.structs.replace(run.experiment.chip.nudging, kind=kind)
    chip = msgspec.structs.replace(run.experiment.chip, nudging=circuit)
    changed = replace(run, experiment=msgspec.structs.replace(run.experiment, chip=chip))
    phases = settling.measure(changed, samples=3, free_time=5e-6, nudged_time=5e-6)
    outputs = phases.free.end.state[-1]
    here = trained(changed, slice(0, 3))
    nudging = here.nudging(here.strengths[0], outputs)
    expected = here.relax("numba", nudging).state[-1]
    assert_allclose(phases.nudged.steady[-1], expected, atol=1e-9 * np.abs(expected).max())
    assert np.abs(expected - outputs).max() > 1e-3 * np.abs(outputs).max()
    for before, after in zip(phases.free.end.state, phases.nudged.start, strict=True):
        assert_allclose(after, before)
    assert (np.abs(phases.nudged.energy.delivered["nudging"]) > 0).all()
    energy = phases.energy
    delivered, dissipated = (sum(energy[side].values()) for side in ("delivered", "dissipated"))
    assert_allclose(delivered, dissipated + energy["stored"]["capacitors"], rtol=1e-5)
    # Capacitors hold what they were charged to from 0 V, on which way ever.
    held = sum(0.5 * (v**2).sum(1).mean() for v in phases.nudged.end.state)
    assert_allclose(energy["stored"]["capacitors"], held * chip.neuron.capacitance)


def test_phases_may_be_given_or_follow_the_circuit(run):
    phases = settling.measure(run, samples=1, free_time=2e-6)
    assert_allclose((phases.free.times[-1], phases.nudged.times[-1]), (2e-6, 0.5e-6))
    relaxation = msgspec.structs.replace(
        run.experiment.relaxation, free_time=None, nudged_time=None
    )
    training = msgspec.structs.replace(run.experiment.training, engine="numba")
    experiment = msgspec.structs.replace(run.experiment, relaxation=relaxation, training=training)
    phases = settling.measure(replace(run, experiment=experiment), samples=1)
    assert_allclose(phases.free.times[-1], 12 * phases.slowest)


def test_a_phase_that_is_too_short_does_not_settle(run):
    phases = settling.measure(run, samples=2, free_time=1e-9)
    assert np.isinf(phases.free.settled_at).all()


@pytest.mark.parametrize("samples", [0, -1])
def test_there_must_be_a_sample(run, samples):
    with pytest.raises(InvalidValueError, match=f"samples = {samples}"):
        settling.measure(run, samples=samples)


@pytest.mark.parametrize("suffix", FORMATS)
def test_figures(run, tmp_path, suffix):
    phases = settling.measure(run, samples=2, nudged_time=1e-9)
    out = draw(phases, tmp_path / "new" / f"figure{suffix}")
    content = out.read_bytes()
    assert len(content) > 10_000
    if suffix == ".svg":
        for words in (b"Free phase, one sample", b"nudged, 2 not settled"):
            assert words in content


def test_a_figure_of_no_format_is_refused(run, tmp_path):
    with pytest.raises(RunFileError, match=r"figure\.txt: a figure is one of \.svg"):
        draw(settling.measure(run, samples=1), tmp_path / "figure.txt")


def settle(capsys, *words):
    with pytest.raises(SystemExit) as left:
        main(["settle", *map(str, words)])
    return left.value.code, capsys.readouterr()


def test_command_line(run, tmp_path, capsys):
    path, figure = tmp_path / "run.h5", tmp_path / "figure.svg"
    run_file.save(path, run)
    words = (path, "--samples", 2, "--within", "10 %", "--out", figure)
    code, said = settle(capsys, *words)
    assert code == 0
    assert "2 samples" in said.out
    for name in ("free", "nudged", "inputs", "array 1", "capacitors", str(figure)):
        assert name in said.out
    assert figure.exists()
    code, said = settle(capsys, *words, "--free-time", "1 ns", "--json")
    result = json.loads(said.out)
    assert code == 0
    assert result["samples"] == 2
    assert result["settled"]["free"]["not_settled"] == 2
    assert result["settled"]["free"]["p90"] == "inf"
    assert 0 < result["settled"]["nudged"]["p50"] < 0.5e-6
    assert result["energy"]["delivered"]["inputs"] > 0


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--free-time", "0 s"), "time = 0 s"),
        (("--nudged-time", "1 V"), "its unit must be s"),
        (("--within", "0"), "within = 0"),
        (("--samples", "0"), "samples = 0"),
    ],
)
def test_bad_input(run, tmp_path, capsys, options, fault):
    path = tmp_path / "run.h5"
    run_file.save(path, run)
    code, said = settle(capsys, path, *options)
    assert code == 2
    assert fault in said.err
    assert said.err.count("\n") == 1
