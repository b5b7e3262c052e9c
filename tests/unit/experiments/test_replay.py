"""Replay: what a chip of the simulator did comes out again, and files that are wrong."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.errors import DataError, UnsupportedError
from neurohw.experiments import configuration, replay
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.measured_states import read_conductances, read_states
from neurohw.update import pairs

FEW = ("data.train=40", "network.hidden=[6]")


def measured(experiment, samples=4):
    """Return states, conductances and the machine of an experiment before its first update."""
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    inputs = machine.encode(dataset.train_images[:samples])
    targets = machine.targets(dataset.train_labels[:samples])
    contrast = machine.rule.contrast(machine.chip.arrays[0].read(inputs), targets, None, 0, inputs)
    lines = [pairs(inputs)]
    states = {
        "free": [*lines, *contrast.free.state],
        "positive": [*lines, *contrast.upper],
        "negative": [*lines, *contrast.lower],
    }
    return states, [a.values() for a in machine.chip.arrays], machine, contrast, inputs


def write_states(path, states):
    rows = ["sample,phase,layer,node,voltage_V"]
    for phase, layers in states.items():
        for k, layer in enumerate(layers):
            rows += [f"s{s},{phase},{k},{j},{float(v)!r}" for (s, j), v in np.ndenumerate(layer)]
    path.write_text("\n".join(rows) + "\n")
    return path


def write_conductances(path, arrays):
    rows = ["array,unit,input,conductance_S"]
    for k, g in enumerate(arrays, start=1):
        rows += [f"{k},{j},{i},{float(v)!r}" for (j, i), v in np.ndenumerate(g)]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("chip", ["epiram", "ideal"])
def test_the_update_of_the_simulator_comes_out_again(tmp_path, chip):
    settings = (*FEW, "learning.nudging=0.5", "learning.learning_rate=[0.5, 0.2]")
    experiment = configuration.load("drn-digits", chip=chip, settings=settings)
    with computing():
        states, conductances, machine, contrast, inputs = measured(experiment)
        rates = machine.learning_rates(0)
        updates, _ = machine.rule.updates(contrast, inputs, *rates)
        for array, update in zip(machine.chip.arrays, updates, strict=True):
            array.program(update, 0)
    write_states(tmp_path / "states.csv", states)
    write_conductances(tmp_path / "g.csv", conductances)
    read = read_states(tmp_path / "states.csv"), read_conductances(tmp_path / "g.csv")
    for phase, layers in states.items():
        for ours, theirs in zip(read[0][phase], layers, strict=True):
            assert_array_equal(ours, theirs)
    found = replay.replay(*read, experiment)
    for k, (ours, array, update) in enumerate(
        zip(found, machine.chip.arrays, updates, strict=True)
    ):
        wanted = update.dense(conductances[k], 0)
        # Differences of float32 voltages that nearly agree, against those of the same in float64.
        assert_allclose(ours.wanted, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
        if chip == "ideal":
            assert ours.pulses is None
            same = np.ones(wanted.shape, bool)
        else:
            same = np.abs(ours.pulses) == array.pulses
            assert np.abs(ours.pulses).sum() > 20
            assert (ours.pulses * wanted >= 0).all()
        # A draw close to its threshold may fall on the other side.
        assert same.mean() > 0.99
        assert_allclose(ours.after[same], array.values()[same], rtol=1e-4, atol=1e-11)


def test_one_cell_by_hand(tmp_path):
    """A 2-1-1 array: x = 0.2 V, y = 0.1 V and 0.14 V, nudged by β more in one phase."""
    experiment = configuration.load(
        "drn-digits", settings=("learning.nudging=0.5", "learning.learning_rate=0.1")
    )
    states = tmp_path / "states.csv"
    rows = ["sample,phase,layer,node,voltage_V"]
    for phase, y, z in (("free", 0.1, 0.05), ("positive", 0.14, 0.06)):
        rows += [f"1,{phase},0,0,0.2", f"1,{phase},0,1,-0.2"]
        rows += [f"1,{phase},1,0,{y}", f"1,{phase},2,0,{z}"]
    states.write_text("\n".join(rows))
    g = [np.full((1, 2), 5e-6), np.full((1, 1), 5e-6)]
    first, second = replay.replay(read_states(states), g, experiment)
    # Ideal chip: 10 µS stands for 1, 0.2 V/25 for a voltage of 1.
    rate = 0.1 * 10e-6 / (0.2 / 25) ** 2
    expected = [(x - 0.14) ** 2 - (x - 0.1) ** 2 for x in (0.2, -0.2)]
    assert_allclose(first.wanted[0], -rate * 0.5 * np.array(expected) / 0.5)
    assert_allclose(second.wanted, -rate * 0.5 * ((0.08) ** 2 - 0.05**2) / 0.5)
    assert_allclose(first.after, np.maximum(first.conductance + first.wanted, 0))


def test_updates_are_written_as_read(tmp_path):
    experiment = configuration.load("drn-digits", chip="hzo-fefet", settings=FEW)
    with computing():
        states, conductances, *_ = measured(experiment)
    found = replay.replay(states, conductances, experiment)
    replay.write(found, tmp_path / "u.csv")
    lines = (tmp_path / "u.csv").read_text().splitlines()
    assert lines[0] == "array,unit,input,conductance_S,wanted_S,pulses,new_conductance_S"
    assert len(lines) == 1 + 128 * 6 + 6 * 10
    table = np.genfromtxt(tmp_path / "u.csv", delimiter=",", skip_header=1)
    second = table[table[:, 0] == 2]
    assert_array_equal(second[:, 6].reshape(10, 6), found[1].after)
    # New conductances can be measured ones again.
    assert_array_equal(read_conductances(tmp_path / "u.csv")[0], conductances[0])


HEADER = "sample,phase,layer,node,voltage_V\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sample,phase,layer,voltage_V\n", "line 1: column node is missing; it needs sample,phase"),
        (HEADER, "holds no values"),
        (HEADER + "a,free,0,0,0.1,7\n", "line 2: 6 fields, not 5"),
        (HEADER + "a,free,0,0,zero\n", "line 2: voltage_V = 'zero': must be a finite number"),
        (HEADER + "a,free,0,0,0.1\n\na,free,0,1,nan\n", "line 4: voltage_V = 'nan': must be"),
        (HEADER + "a,fre,0,0,0.1\n", "line 2: phase = 'fre': known are free, positive, negative"),
        (HEADER + "a,free,0,-1,0.1\n", "line 2: node = '-1': must be a whole number"),
        (HEADER + "a,free,0,0,0.1\na,free,0,0,0.2\n", "line 3: sample = 'a': layer 0, node 0 has"),
        (HEADER + "a,free,0,0,0.1\n", "phase: two are compared, it holds free only"),
        (
            HEADER + "a,free,0,0,1\na,positive,0,0,1\na,free,2,0,1\na,positive,2,0,1\n",
            "layer 1: node 0 is missing",
        ),
        (
            HEADER + "a,free,0,0,1\na,positive,0,0,1\nb,free,0,0,1\n",
            "sample 'b', phase positive: no voltage of layer 0, node 0",
        ),
    ],
)
def test_states_that_are_wrong(tmp_path, text, words):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_states(tmp_path / "s.csv")
    assert words in str(caught.value)
    assert "s.csv: " in str(caught.value)


CELLS = "array,unit,input,conductance_S\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CELLS + "0,0,0,1e-6\n", "line 2: array = 0: counted from 1"),
        (CELLS + "1,0,0,-1e-6\n", "line 2: conductance_S = -1e-06: must be 0 or more"),
        (CELLS + "1,0,0,1e-6\n1,0,0,2e-6\n", "line 3: input = 0: array 1, unit 0 has it already"),
        (CELLS + "1,0,0,1e-6\n1,1,1,1e-6\n", "array 1, unit 1: inputs are not those of unit 0: "),
        (CELLS + "1,1,0,1e-6\n", "array 1: unit 0 is missing"),
    ],
)
def test_conductances_that_are_wrong(tmp_path, text, words):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_conductances(tmp_path / "g.csv")
    assert words in str(caught.value)


def test_what_does_not_fit(tmp_path):
    experiment = configuration.load("drn-digits", chip="epiram", settings=FEW)
    states = {phase: [np.zeros((1, n)) for n in (4, 3, 2)] for phase in ("free", "positive")}
    g = [np.full((3, 4), 2e-6), np.full((2, 3), 4e-6)]
    with pytest.raises(DataError, match=r"voltages of 4-3-2 .* do not fit arrays of 3 × 4, 2 × 2"):
        replay.replay(states, [g[0], g[1][:, :2]], experiment)
    with pytest.raises(DataError, match=r"unit 0, input 0 = 2e-05 S: the chip's device has"):
        replay.replay(states, [10 * g[0], g[1]], experiment)
    one = {phase: layers[:2] for phase, layers in states.items()}
    with pytest.raises(
        DataError, match="1 arrays of conductances: the experiment drn-digits has 2"
    ):
        replay.replay(one, g[:1], experiment)
    amplified = configuration.load("drn-digits", settings=("chip.neuron.gain=2.0",))
    with pytest.raises(UnsupportedError, match=r"chip\.neuron\.gain: replay knows resistors"):
        replay.replay(states, g, amplified)
    signed = configuration.load("ep-1h", settings=("data.name=digits",))
    with pytest.raises(UnsupportedError, match=r"network\.kind = hopfield: replay knows resistive"):
        replay.replay(states, g, signed)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_states(tmp_path / "none.csv")
