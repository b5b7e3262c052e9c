"""Costs of write pulses: cases by hand, and the whole history of random updates."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.costs import Costs, pulse_energy
from neurohw.devices import memory
from neurohw.devices.fabrication import fabricate
from neurohw.devices.programming import program
from neurohw.experiments.programming import signs, writing
from neurohw.update import Update

LINEAR = memory.load(
    {
        "law": "exponential",
        "g_min": "1 uS",
        "g_max": "11 uS",
        "pulses_up": 100,
        "pulses_down": 50,
        "pulse_voltage_up": "2 V",
        "pulse_voltage_down": "-1 V",
        "pulse_width_up": "50 ns",
        "pulse_width_down": "20 ns",
    }
)


def cells_of(device, units, inputs):
    return fabricate(device, units, inputs, width=1.0, seed=0, array=0)


def test_one_pulse_of_one_cell():
    """Of 0.1 µS up from 5 µS, by hand; the lines are one cell long."""
    costs = Costs(node=50, half_pitches=2, wire_capacitance=0.2e-9)
    start = np.array([[5e-6]])
    found = writing(
        costs, LINEAR, cells_of(LINEAR, 1, 1), start, start + 0.1e-6, np.ones((1, 1)), events=1
    )
    assert found.pulses == 1
    assert found.cells == pytest.approx(2.0**2 * 5.05e-6 * 50e-9, rel=1e-6)
    assert found.half_selected == 0
    # One word line and one bit line, each of 0.2 fF/µm · 0.1 µm; a slot with probability 1 − 1/e,
    # but no fewer than the pulses of a cell.
    assert found.lines == pytest.approx(2 * 2.0**2 * 0.2e-9 * 100e-9, rel=1e-6)
    assert found.time == pytest.approx(50e-9, rel=1e-6)


def test_half_selected_cells_by_hand():
    """Cell (0, 1) of 2 by 3 takes a pulse down: two others on its bit line, one on its word."""
    costs = Costs(access="none", write="cells")
    g = 1e-6 * np.array([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]])
    pulses = np.zeros((2, 3))
    pulses[0, 1] = 1
    after = g.copy()
    after[0, 1] -= 0.2e-6
    found = writing(costs, LINEAR, cells_of(LINEAR, 2, 3), g, after, pulses, events=1)
    assert found.cells == pytest.approx(1.0 * 2.9e-6 * 20e-9, rel=1e-6)
    assert found.half_selected == pytest.approx(0.25 * (2e-6 + 4e-6 + 6e-6) * 20e-9, rel=1e-6)
    assert found.time == pytest.approx(20e-9)


def test_lines_write_together_what_cells_write_one_by_one():
    g = np.full((4, 3), 5e-6)
    words = LINEAR, cells_of(LINEAR, 4, 3), g, g, np.full((4, 3), 10.0)
    one_by_one = writing(Costs(write="cells"), *words, events=10)
    together = writing(Costs(), *words, events=10)
    # As many pulses up as the linear law needs to end where it began, 2 for each down.
    up = 10 * 2 / 3
    assert_allclose(one_by_one.time, 12 * (up * 50e-9 + (10 - up) * 20e-9))
    slots = [10 * (1 - np.exp(-4 * n / 10)) for n in (up, 10 - up)]
    assert_allclose(together.time, 3 * (slots[0] * 50e-9 + slots[1] * 20e-9))
    assert together.cells == pytest.approx(one_by_one.cells)
    assert together.lines < one_by_one.lines


def test_tiles_are_written_at_the_same_time():
    g = np.full((4, 6), 5e-6)
    words = LINEAR, cells_of(LINEAR, 4, 6), g, g, np.full((4, 6), 10.0)
    whole = writing(Costs(write="cells"), *words, events=10)
    tiled = writing(Costs(write="cells"), *words, events=10, tile=2)
    assert_allclose(tiled.time, whole.time / 6)
    assert tiled.cells == pytest.approx(whole.cells)
    assert tiled.lines < whole.lines


@pytest.mark.parametrize("name", ["epiram", "hzo-fefet"])
def test_signs_and_energy_of_a_random_history(name):
    """Pulses of 200 random updates, counted with their signs, against what their number tells."""
    device = msgspec.structs.replace(memory.load(name), cycle_to_cycle=0.0)
    rng = np.random.default_rng(0)
    cells = cells_of(device, 5, 40)
    start = g = rng.uniform(1.5 * device.g_min, 0.7 * device.g_max, (5, 40))
    step = (device.g_max - device.g_min) / device.pulses_up
    total, rising, energy = np.zeros(g.shape), np.zeros(g.shape), 0.0
    for event in range(200):
        wanted = 0.1 * step * rng.standard_normal((5, 40))
        update = Update(presynaptic=np.eye(40)[None], postsynaptic=wanted.T[None])
        after, count = program(cells, g, update, event)
        up = wanted > 0
        # Where pulses are rounded up, they go the way that is wanted, or not at all.
        assert ((after - g)[count > 0] > 0).tolist() == up[count > 0].tolist()
        total += count
        rising += np.where(up, count, 0)
        for way, voltage, width in (
            (up, device.pulse_voltage_up, device.pulse_width_up),
            (~up, device.pulse_voltage_down, device.pulse_width_down),
        ):
            energy += float((count * pulse_energy(voltage, width, g, after))[way].sum())
        g = after
    found, _ = signs(cells, start, g, total)
    # The law at the middle stands for its course: right to a few percent of all pulses.
    assert_allclose(found.sum(), rising.sum(), rtol=0.05)
    written = writing(Costs(), device, cells, start, g, total, events=200)
    assert written.pulses == total.sum()
    assert_allclose(written.cells, energy, rtol=0.05)
