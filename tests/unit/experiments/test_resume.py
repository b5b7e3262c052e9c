"""Stopping and going on: what comes out is bitwise the uninterrupted run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurohw.errors import RunFileError
from neurohw.experiments import run_file, trainer

SPREAD = ("chip.device.nonlinearity_spread=0.3", "chip.device.range_spread=5 %")
DEEP = ("network.hidden=[8, 6]", "learning.nudging=0.002", "learning.variant=random_sign")
SETTLED = ("relaxation.tolerance=1e-3", "relaxation.free_sweeps=300")
WIRES = ("chip.wires.word_line=40", "chip.wires.bit_line=30", "chip.wires.tile=50")
CONVERTERS = (
    *("chip.converters.state_adc.bits=8", "chip.converters.state_adc.noise=10 uV"),
    *("chip.converters.difference_adc.bits=8", "chip.converters.read=difference"),
    *("chip.converters.input_dac.bits=6", "chip.converters.input_dac.noise=1 mV"),
    *("chip.converters.nudge_dac.bits=6", "chip.nudging.kind=current"),
    *("chip.converters.calibration_interval=3", "chip.converters.calibration_samples=8"),
)
TRAINS = ("chip.programming.events=sample", "chip.programming.pulses=train")
FAST = ("chip.programming.accumulate=analog", "chip.programming.transfer_lines=8")
DIGITAL = ("chip.programming.accumulate=digital", "chip.programming.optimizer=adam")
CONFIGURATIONS = {
    "ideal": ("ideal", ()),
    "noise and spread": ("epiram", SPREAD),
    "bias cells": ("epiram", ("chip.bias.kind=rails", 'chip.bias.rail="8 mV"', *SPREAD)),
    "ideal bias cells": ("ideal", ("chip.bias.kind=rails", 'chip.bias.rail="8 mV"')),
    "deep": ("epiram", (*DEEP, "training.batch=3")),
    "settled": ("ideal", (*SETTLED, "relaxation.nudged_sweeps=300")),
    # Checkpoints fall between two refreshes too.
    "wires": ("epiram", (*WIRES, "chip.wires.refresh=7")),
    "converters": ("ideal", CONVERTERS),
    "trains into a fast array": ("reram-sb", (*TRAINS, *FAST, "chip.bias.kind=rails")),
    "digital memory": ("epiram", DIGITAL),
    "float64, numpy": ("hzo-fefet", ("training.precision=float64", "training.engine=numpy")),
}


@pytest.fixture(params=list(CONFIGURATIONS))
def experiment(request, small):
    chip, settings = CONFIGURATIONS[request.param]
    return small(*settings, chip=chip, epochs=2)


def assert_bitwise(run, reference):
    """Compare part by part, so that a difference says where it is, and then the checksums."""
    for name in ("arrays", "biases"):
        for ours, theirs in zip(getattr(run, name), getattr(reference, name), strict=True):
            assert sorted(ours) == sorted(theirs)
            for key in ours:
                assert ours[key].tobytes() == theirs[key].tobytes(), f"{name}, {key}"
    for name in ("history", "physical", "state"):
        ours, theirs = getattr(run, name), getattr(reference, name)
        assert {k: v.tobytes() for k, v in ours.items()} == {
            k: v.tobytes() for k, v in theirs.items()
        }
    assert run_file.checksum(run) == run_file.checksum(reference)


def test_every_checkpoint_leads_to_the_same_end(experiment, tmp_path, monkeypatch):
    reference = trainer.train(experiment)
    out, copies = tmp_path / "a.h5", []
    save = run_file.save

    def save_and_copy(path, run):
        save(path, run)
        copies.append(shutil.copy(path, tmp_path / f"{len(copies)}.h5"))

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(run_file, "save", save_and_copy)
        assert_bitwise(trainer.train(experiment, out=out), reference)
    steps = 40 // experiment.training.batch
    assert len(copies) == 2 * steps + 3
    for copy in copies:
        assert_bitwise(trainer.train(experiment, out=copy, resume=True), reference)
        assert_bitwise(run_file.load(copy), reference)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_again_and_again(experiment, tmp_path, monkeypatch, number):
    monkeypatch.setattr(trainer, "_PROGRESS_SECONDS", -1.0)
    reference = trainer.train(experiment)
    steps = 40 // experiment.training.batch
    stops = [(1, 1), (1, 4), (1, steps), (2, 1), (2, steps)]
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    def stop(progress):
        if stops and (progress.epoch, progress.step) == stops[0]:
            signal.raise_signal(number)

    for epoch, step in list(stops):
        with pytest.raises(KeyboardInterrupt):
            trainer.train(experiment, out=tmp_path / "a.h5", resume=True, progress=stop)
        counters = run_file.load(tmp_path / "a.h5").counters
        assert (counters["epoch"] + 1, counters["step"]) == (epoch, step)
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
        stops.pop(0)
    seen = []
    run = trainer.train(experiment, out=tmp_path / "a.h5", resume=True, progress=seen.append)
    assert_bitwise(run, reference)
    assert_bitwise(run_file.load(tmp_path / "a.h5"), reference)
    assert [progress.phase for progress in seen] == ["evaluating"]
    assert 0 < seen[0].samples_per_second < 1e7
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("settings", [(), WIRES], ids=["ideal", "wires"])
def test_interrupted_in_an_evaluation(small, tmp_path, settings):
    def stop(progress):
        if progress.phase == "evaluating":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer.train(small(*settings), out=tmp_path / "a.h5", progress=stop)
    assert run_file.load(tmp_path / "a.h5").counters["epoch"] == 1
    run = trainer.train(small(*settings), out=tmp_path / "a.h5", resume=True)
    assert_bitwise(run, trainer.train(small(*settings)))


def test_an_interruption_in_the_last_evaluation_is_not_lost(small, tmp_path):
    def stop(progress):
        if progress.phase == "evaluating" and progress.epoch == progress.epochs:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer.train(small(), out=tmp_path / "a.h5", progress=stop)
    assert_bitwise(run_file.load(tmp_path / "a.h5"), trainer.train(small()))


def test_interrupted_without_a_file(small):
    def stop(progress):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer.train(small(), progress=stop)


PROGRAM = """
from neurohw.experiments import trainer
trainer.CHECKPOINT_SECONDS = 0.005
from neurohw.cli import main
main(prog_name="neurohw")
"""


class Trainings:
    """The command `neurohw train` in processes of their own, on 1 or 2 threads."""

    def __init__(self, folder, *words):
        self.folder, self.words = folder, words

    def start(self, out, threads):
        command = (sys.executable, "-c", PROGRAM, "train", "--recipe", "drn-digits")
        return subprocess.Popen(
            [*command, *self.words, "--resume", "--out", str(self.folder / out)],
            env=os.environ | {"NUMBA_NUM_THREADS": str(threads)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def kill(self, out, threads, checkpoints, seconds):
        """Let a training write some checkpoints, and kill it a moment later."""
        path = self.folder / out
        with self.start(out, threads) as training:
            last = self.written(path)
            while checkpoints:
                now = self.written(path)
                checkpoints, last = checkpoints - (now != last), now
                assert training.poll() is None, "the training ended before it was killed"
                time.sleep(0.001)
            time.sleep(seconds)
            training.kill()
        assert training.returncode == -signal.SIGKILL

    def finish(self, out, threads):
        with self.start(out, threads) as training:
            _, messages = training.communicate(timeout=600)
        assert training.returncode == 0, messages
        return run_file.load(self.folder / out)

    @staticmethod
    def written(path: Path) -> int:
        try:
            return path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0


@pytest.mark.soak
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("chip", "settings"),
    [
        ("ideal", ("network.hidden=[2100]",)),
        ("epiram", ("network.hidden=[2100]", "chip.device.range_spread=5 %")),
    ],
)
def test_killed_twice_on_one_and_two_threads(tmp_path, chip, settings):
    settings = ("data.train=200", *settings)
    words = [word for setting in settings for word in ("--set", setting)]
    trainings = Trainings(tmp_path, "--chip", chip, "--epochs", "8", *words)
    chance = random.Random(f"{chip} {settings}")
    for threads in (1, 2):
        trainings.kill("a.h5", threads, chance.randint(1, 6), chance.uniform(0, 0.02))
        counters = run_file.load(tmp_path / "a.h5").counters
        assert 0 < counters["epoch"] * 50 + counters["step"] < 8 * 50
    killed = trainings.finish("a.h5", threads=1)
    assert killed.arrays[0]["conductance"].size > 2**18
    assert_bitwise(killed, trainings.finish("b.h5", threads=2))
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "b.h5"]


def test_deep_networks_on_one_and_two_threads(tmp_path):
    """Between hidden layers this large the engine works in blocks too."""
    settings = (
        *("data.train=60", "network.hidden=[400, 400]", "learning.nudging=0.1"),
        *("learning.learning_rate=0.005", "learning.bias_learning_rate=0.005"),
    )
    words = [word for setting in settings for word in ("--set", setting)]
    trainings = Trainings(tmp_path, "--chip", "epiram", "--epochs", "2", *words)
    runs = [trainings.finish(f"{threads}.h5", threads) for threads in (1, 2)]
    assert_bitwise(*runs)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.seed=5", "training.seed = 0, not 5"),
        ("training.batch=8", "training.batch = 4, not 8"),
        ("learning.learning_rate=0.03", "learning.learning_rate = 0.02, not 0.03"),
        ("network.hidden=[8, 8]", "network.hidden = [8], not [8, 8]"),
        ("chip.device.g_min=1e-9", "chip.device.g_min = 0.0, not 1e-09"),
    ],
)
def test_another_configuration_is_refused(small, tmp_path, setting, words):
    out = tmp_path / "a.h5"
    trainer.train(small(), out=out)
    before = out.read_bytes()
    with pytest.raises(RunFileError) as refusal:
        trainer.train(small(setting), out=out, resume=True)
    assert str(refusal.value).startswith(f"{out}: ")
    assert words in str(refusal.value)
    assert out.read_bytes() == before


def test_another_chip_or_length_is_refused(small, tmp_path):
    trainer.train(small(), out=tmp_path / "a.h5")
    with pytest.raises(RunFileError, match=r"training\.epochs = 2, not 3"):
        trainer.train(small(epochs=3), out=tmp_path / "a.h5", resume=True)
    with pytest.raises(RunFileError, match=r"chip\.name = ideal, not epiram"):
        trainer.train(small(chip="epiram"), out=tmp_path / "a.h5", resume=True)


def test_other_data_are_refused(small, tmp_path):
    data, out = tmp_path / "mine.npz", tmp_path / "a.h5"

    def write(shade):
        images, labels = np.full((12, 64), shade), np.arange(12) % 10
        np.savez(
            data, train_images=images, train_labels=labels, test_images=images, test_labels=labels
        )

    write(0.5)
    experiment = small(f"data.name={data}", "data.train=12")
    trainer.train(experiment, out=out)
    before = out.read_bytes()
    write(0.6)
    with pytest.raises(RunFileError, match=r"a\.h5: dataset\.checksum = .* mine is now another"):
        trainer.train(experiment, out=out, resume=True)
    assert out.read_bytes() == before


def test_a_finished_run_comes_back(experiment, tmp_path):
    finished = trainer.train(experiment, out=tmp_path / "a.h5")
    seen = []
    again = trainer.train(experiment, out=tmp_path / "a.h5", resume=True, progress=seen.append)
    assert_bitwise(again, finished)
    assert seen == []


def test_nothing_to_resume_starts(small, tmp_path):
    run = trainer.train(small(), out=tmp_path / "new" / "a.h5", resume=True)
    assert_bitwise(run_file.load(tmp_path / "new" / "a.h5"), run)


def test_an_existing_file_is_kept(small, tmp_path):
    out = tmp_path / "a.h5"
    out.write_text("precious")
    with pytest.raises(RunFileError, match=r"a\.h5: exists; go on with --resume"):
        trainer.train(small(), out=out)
    with pytest.raises(RunFileError, match=r"a\.h5: not a readable run file"):
        trainer.train(small(), out=out, resume=True)
    assert out.read_text() == "precious"


def test_a_damaged_checkpoint_is_refused_and_kept(small, tmp_path):
    out = tmp_path / "a.h5"
    trainer.train(small(), out=out)
    whole = out.read_bytes()
    with h5py.File(out, "r+") as file:
        file["arrays/0/conductance"][0, 0] += 1e-6
    before = out.read_bytes()
    with pytest.raises(RunFileError, match="checksum"):
        trainer.train(small(), out=out, resume=True)
    assert out.read_bytes() == before
    out.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunFileError, match=r"a\.h5"):
        trainer.train(small(), out=out, resume=True)
    assert len(out.read_bytes()) == len(whole) // 2


def test_a_killed_save_leaves_nothing_in_the_way(small, tmp_path):
    (tmp_path / ".a.h5.unfinished").write_text("half a run file")
    run = trainer.train(small(), out=tmp_path / "a.h5", resume=True)
    assert_bitwise(run_file.load(tmp_path / "a.h5"), run)
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that root cannot write to")
def test_an_unwritable_file_is_found_out_before_training(small, monkeypatch):
    monkeypatch.setattr(trainer, "dataset_of", lambda experiment: pytest.fail("data were read"))
    with pytest.raises(RunFileError, match=r"/proc/neurohw/a\.h5: cannot be written"):
        trainer.train(small(), out="/proc/neurohw/a.h5")
