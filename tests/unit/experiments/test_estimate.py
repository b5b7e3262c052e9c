"""The estimate: sums by hand, scopes that fit together, times from the circuit, other chips."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.engines.kirchhoff import sparse_system, system
from neurohw.engines.transient.circuit import circuit
from neurohw.errors import InvalidValueError, RunFileError
from neurohw.experiments import configuration, estimate, resistive_phases, run_file, trainer
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.resistive_phases import slowest_time
from neurohw.update import pairs


@pytest.fixture(scope="module")
def trained():
    """Two epochs on a chip of EpiRAM and on an ideal one."""
    few = ("data.train=100", "learning.nudging=0.5")
    return {
        chip: trainer.train(configuration.load("drn-digits", chip=chip, settings=few, epochs=2))
        for chip in ("epiram", "ideal")
    }


def test_array_reads_are_the_simulated_powers(trained):
    run = trained["epiram"]
    found = estimate.estimate(run, samples=8, free_time=1e-6, nudged_time=2e-6)
    dataset = dataset_of(run.experiment)
    with computing():
        machine = build(run.experiment, dataset)
        machine.restore(run)
        inputs = machine.encode(dataset.train_images[:8])
        contrast = machine.rule.contrast(
            machine.chip.arrays[0].read(inputs),
            machine.targets(dataset.train_labels[:8]),
            None,
            0,
            inputs,
        )
    expected = 0.0
    for time, state in (
        (1e-6, contrast.free.state),
        (2e-6, contrast.upper),
        (2e-6, contrast.lower),
    ):
        below = pairs(inputs)
        for array, units in zip(machine.chip.arrays, state, strict=True):
            drops = below[:, None, :] - units[:, :, None]
            expected += time * float((array.values() * drops**2).sum(axis=(1, 2)).mean())
            below = units
    # Drops of float32 voltages, in float32 here.
    assert_allclose(found.energy["training sample"]["array read"], expected, rtol=1e-6)
    assert found.settling == "as the run or the options give them"


def test_classes_and_scopes_fit_together(trained):
    run = trained["epiram"]
    found = estimate.estimate(run, samples=8)
    for table in (found.energy, found.latency):
        assert tuple(table) == estimate.SCOPES
        sample, total = table["training sample"], table["training run"]
        assert {k: found.trained * v for k, v in sample.items()} == total
    assert all(tuple(table) == estimate.CLASSES for table in found.energy.values())
    assert found.trained == 200
    assert_allclose(found.pulses, sum(array["pulses"].sum() for array in run.arrays))
    assert found.pulses > 100
    costs, sizes = run.experiment.chip.costs, (128, 64, 10)
    sample = found.energy["training sample"]
    # Inputs once, targets in both nudged phases; every node in both of these.
    assert_allclose(sample["DAC"], (128 + 2 * 10) * costs.dac_energy)
    assert_allclose(sample["ADC"], 2 * 74 * costs.adc_energy)
    assert_allclose(found.energy["inference"]["ADC"], 10 * costs.adc_energy)
    assert_allclose(found.latency["training sample"]["ADC"], 2 * 8 * costs.adc_time)
    areas = found.area
    wide = sizes[0] * sizes[1] + estimate_width(run) * sizes[1] * sizes[2]
    assert_allclose(areas["cells"], costs.pitch**2 * wide)
    assert_allclose(areas["ADC"], (8 + 2) * costs.adc_area)
    assert_allclose(areas["neurons"], 74 * (costs.neuron_area + 1e-12 / costs.capacitor_density))
    time = sum(found.latency["training sample"].values())
    assert_allclose(sample["leakage"], costs.leakage_density * sum(areas.values()) * time)
    assert abs(found.imbalance) < 1


def estimate_width(run):
    """Cells of the second layer are this much wider: windows go by one over the root of lines."""
    return np.sqrt(128 / 64)


def test_phases_last_until_the_circuit_is_settled(trained):
    run = trained["epiram"]
    found = estimate.estimate(run, samples=4)
    with computing():
        machine = build(run.experiment, dataset_of(run.experiment))
        machine.restore(run)
        words = machine.network, machine.chip.seen(0), machine.chip.sources(0)
        free = circuit(*words, np.zeros((1, 64)), None).slowest
        nudged = slowest_time(machine)
    # Negative nudging makes the circuit softer, and here slower.
    assert free < nudged < 2 * free
    assert_allclose(found.phases["free"].time, 9 * np.log(2) * nudged)
    assert list(found.phases) == ["free", "nudged +", "nudged −"]
    fewer = replace_costs(run, adc_bits=4)
    assert_allclose(estimate.estimate(fewer, samples=4).phases["free"].time, 5 * np.log(2) * nudged)


@pytest.mark.parametrize(
    "settings", [(), ("chip.neuron.gain=3.0", "chip.neuron.backward_gain=0.5")]
)
def test_large_networks_have_the_same_time_constant(small, monkeypatch, settings):
    """From the sparse matrix, by inverse iteration, which dense eigenvalues confirm."""
    experiment = small("network.hidden=[7, 6]", *settings, chip="epiram")
    with computing():
        machine = build(experiment, dataset_of(experiment))
        words = machine.network, machine.chip.seen(0), machine.chip.sources(0)
        assert_allclose(sparse_system(*words).toarray(), system(*words), rtol=1e-15)
        dense = slowest_time(machine)
        monkeypatch.setattr(resistive_phases, "_DENSE", 0)
        assert_allclose(slowest_time(machine), dense, rtol=1e-8)


def replace_costs(run, **costs):
    chip = run.experiment.chip
    changed = msgspec.structs.replace(chip, costs=msgspec.structs.replace(chip.costs, **costs))
    return replace(run, experiment=msgspec.structs.replace(run.experiment, chip=changed))


def test_averaged_readings_take_their_time(trained):
    run = trained["epiram"]
    thrice = configuration.load(run.experiment, settings=["chip.device.reading.reads=3"])
    once, often = (
        estimate.estimate(replace(run, experiment=e), samples=4) for e in (run.experiment, thrice)
    )
    for scope in ("inference", "training sample"):
        assert_allclose(often.latency[scope]["phases"], 3 * once.latency[scope]["phases"])
        assert often.latency[scope]["ADC"] == once.latency[scope]["ADC"]
        assert_allclose(often.energy[scope]["array read"], 3 * once.energy[scope]["array read"])


def test_other_costs_of_the_same_run_need_no_training(trained, monkeypatch):
    run = trained["epiram"]
    other = replace_costs(run, adc_energy_per_step=20e-15).experiment
    monkeypatch.setattr(trainer, "train", None)
    old, new = (estimate.of(e, run, samples=4) for e in (run.experiment, other))
    assert_allclose(new.energy["inference"]["ADC"], 2 * old.energy["inference"]["ADC"])
    assert new.short is None


def test_another_chip_is_programmed_and_trained_briefly(trained):
    run = trained["ideal"]
    experiment = configuration.load(run.experiment, chip="epiram")
    found = estimate.of(experiment, run, samples=4)
    assert (found.short, found.trained) == (100, 200)
    assert found.pulses > 0
    assert "extrapolated from the first 100 samples" in " ".join(found.notes)
    alone = estimate.of(experiment, None, samples=4)
    assert alone.pulses != found.pulses


def test_updates_by_sample_are_written_one_by_one(small, monkeypatch):
    """Of mini-batches of four, each image is an update of its own, which shares no pulse."""
    settings = ("chip.programming.events=sample", "learning.learning_rate=1.0")
    run = trainer.train(small(*settings, "training.batch=4", chip="epiram", epochs=1))
    events, write = [], estimate.writing

    def noted(*words, **options):
        events.append(options["events"])
        return write(*words, **options)

    monkeypatch.setattr(estimate, "writing", noted)
    found = estimate.estimate(run, samples=2)
    assert events == [40, 40]
    machine = build(run.experiment, dataset_of(run.experiment))
    start = [array.values() for array in machine.chip.arrays]
    machine.restore(run)
    chip = run.experiment.chip
    times = [
        write(chip.costs, chip.device, a.cells, g, a.values(), a.pulses, events=40).time
        for g, a in zip(start, machine.chip.arrays, strict=True)
    ]
    assert_allclose(found.latency["training sample"]["programming"], max(times) / 40)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("chip.programming.optimizer=adam",), "64 bits of digital memory a weight"),
        (("chip.programming.accumulate=carry",), "further cells (accumulate)"),
    ],
)
def test_memory_of_update_schemes_is_said(small, settings, words):
    run = trainer.train(small(*settings, chip="epiram", epochs=0))
    assert words in "; ".join(estimate.estimate(run, samples=2).not_counted)


def test_what_has_no_pulses_is_said(trained):
    found = estimate.estimate(trained["ideal"], samples=4)
    assert found.pulses is None
    assert found.energy["training run"]["programming"] == 0
    assert found.not_counted[0] == "programming: the device ideal counts no pulses"


@pytest.mark.parametrize(
    "settings",
    [
        ("chip.bias.kind=rails", 'chip.bias.rail="8 mV"'),
        ("chip.bias.kind=current", "learning.variant=positive", "chip.nudging.kind=current"),
        ("chip.neuron.kind=diode", "chip.neuron.gain=2.0", 'chip.neuron.leak="1 uS"'),
    ],
)
def test_other_circuits(small, settings):
    run = trainer.train(small(*settings, chip="epiram", epochs=1))
    found = estimate.estimate(run, samples=4)
    assert all(v >= 0 for table in found.energy.values() for v in table.values())
    sample = found.energy["training sample"]
    assert sample["array read"] > 0
    if "chip.neuron.gain=2.0" in settings:
        time = sum(phase.time for phase in found.phases.values())
        assert sample["neurons"] > 8 * time * run.experiment.chip.costs.amplifier_power
    if "chip.bias.kind=current" in settings:
        assert list(found.phases) == ["free", "nudged"]
        assert found.not_counted[-1] == "the programming of bias currents"


def test_what_cannot_be_estimated(trained, small):
    with pytest.raises(InvalidValueError, match="samples = 0"):
        estimate.estimate(trained["epiram"], samples=0)
    lost = replace(trained["ideal"], dataset={"name": "digits", "checksum": "00"})
    with pytest.raises(RunFileError, match="another one"):
        estimate.estimate(lost)
    floating = replace(
        trained["ideal"],
        arrays=[
            trained["ideal"].arrays[0]
            | {"conductance": np.zeros((64, 128), "f"), "unit_sums": np.zeros(64, "f")},
            trained["ideal"].arrays[1],
        ],
    )
    with pytest.raises(InvalidValueError, match="never settles; give both"):
        estimate.estimate(floating)
    assert estimate.estimate(floating, free_time=1e-6, nudged_time=1e-6).slowest == np.inf


def test_a_run_file_without_a_start_is_as_before(trained, tmp_path):
    run_file.save(tmp_path / "a.h5", trained["epiram"])
    assert run_file.load(tmp_path / "a.h5").start == {}
