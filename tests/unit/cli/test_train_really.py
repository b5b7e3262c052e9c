"""`neurohw train` with the real trainer: results, interruption, resumption."""

import json
import os
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest

from neurohw.experiments.run_file import checksum, load

DIGITS = ("train", "--recipe", "drn-digits", "--set", "data.train=200")


def test_training_really_trains(invoke):
    words = (*DIGITS, "--epochs", 1, "--out", "a.h5", "--json")
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert 0 <= facts["test_error"] < 0.9
    assert facts["seconds_per_epoch"] > 0
    again = json.loads(invoke("evaluate", "a.h5", "--json").stdout)
    assert again["test_error"] == facts["test_error"]
    assert os.listdir() == ["a.h5"]


def test_resuming_a_finished_run_changes_nothing(invoke):
    words = (*DIGITS, "--epochs", 2, "--out", "a.h5", "--json")
    first = json.loads(invoke(*words).stdout)
    before = checksum(load("a.h5"))
    assert json.loads(invoke(*words, "--resume").stdout)["test_error"] == first["test_error"]
    assert checksum(load("a.h5")) == before


WIRES = (
    "--chip",
    "epiram",
    "--set",
    "chip.wires.word_line={0}",
    "--set",
    "chip.wires.bit_line={0}",
)


@pytest.mark.parametrize("resistance", [1, 200])
def test_wires_that_lose_too_much_are_told_once(invoke, resistance):
    wires = [word.format(resistance) for word in WIRES]
    result = invoke(*DIGITS, *wires, "--epochs", 1, "--out", "a.h5", "--json")
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    run = load("a.h5")
    assert (run.physical["wire_loading"] > 1).any() == (resistance == 200)
    assert 0 < run.physical["wire_loss"][0] < 1
    if resistance == 200:
        assert len(told) == np.count_nonzero(run.physical["wire_loading"] > 1)
        assert told[0].startswith("warning: wires of layer 1: loading ")
        assert told[0].endswith(" %: tiles are too large")
    else:
        assert told == []


def test_resuming_nothing_starts(invoke):
    assert invoke(*DIGITS, "--epochs", 1, "--out", "a.h5", "--resume").exit_code == 0
    assert load("a.h5").counters["epoch"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
@pytest.mark.parametrize("chip", ["ideal", "epiram"])
def test_the_command_that_an_interruption_shows_ends_as_the_uninterrupted_run(invoke, chip):
    words = (*DIGITS, "--chip", chip, "--epochs", "50", "--set", 'chip.input.full_scale="0.1 V"')
    command = [sys.executable, "-c", "from neurohw.cli import main; main(prog_name='neurohw')"]
    command += [*words, "--out", "my run.h5"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as training:
        assert training.stderr is not None
        assert training.stderr.readline().startswith("epoch 1/50")
        training.send_signal(signal.SIGINT)
        output, messages = training.communicate(timeout=300)
    assert training.returncode == 130
    assert output == ""
    *epochs, last = messages.splitlines()
    assert all(line.startswith("epoch ") for line in epochs)
    told, _, shown = last.partition(": ")
    assert told == "interrupted; continue with"
    assert load("my run.h5").counters["epoch"] < 50

    program, *shown_words = shlex.split(shown)
    assert program == "neurohw"
    assert invoke(*shown_words).exit_code == 0
    assert invoke(*words, "--out", "b.h5").exit_code == 0
    assert checksum(load("my run.h5")) == checksum(load("b.h5"))
    assert sorted(os.listdir()) == ["b.h5", "my run.h5"]
