"""Costs: figures of merit, lines, pulses, and what is refused."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.costs import Costs, pulse_energy
from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.mappings import chip_specification


def test_the_adc_is_the_published_one():
    """Kull et al. (2013): 3.1 mW at 1.2 GS/s and 8 bits, 0.0015 mm²."""
    costs = Costs()
    assert_allclose(costs.adc_energy, 3.1e-3 / 1.2e9, rtol=0.01)
    assert_allclose(costs.adc_area, 0.0015e-6, rtol=0.001)
    assert_allclose(costs.adc_time, 1 / 1.2e9, rtol=0.01)
    # ISAAC: 8 × 128 DACs of 1 bit on 0.00017 mm².
    one_bit = msgspec.structs.replace(costs, dac_bits=1)
    assert_allclose(one_bit.dac_area, 0.00017e-6 / 1024, rtol=0.001)


def test_many_bits_are_bounded_by_thermal_noise():
    few, many = (Costs(adc_bits=bits).adc_energy for bits in (11, 16))
    assert few == 10e-15 * 2**11
    assert_allclose(many, 0.5 * 10 ** ((6.02 * 16 + 1.76 - 175) / 10))
    # Four times as much a bit, where few bits take twice as much.
    assert_allclose(Costs(adc_bits=17).adc_energy / many, 4, rtol=0.001)


def test_no_converters_cost_nothing():
    costs = Costs(adc_bits=0, dac_bits=0)
    assert costs.adc_energy == costs.dac_energy == costs.adc_area == costs.dac_area == 0
    assert costs.reading_time(100) == costs.adcs(100) == 0


def test_nodes_take_turns():
    costs = Costs(adc_share=8, adc_time=1e-9)
    assert [costs.adcs(n) for n in (1, 8, 9)] == [1, 1, 2]
    assert_allclose([costs.reading_time(n) for n in (3, 100)], [3e-9, 8e-9])


def test_lines_are_as_long_as_their_cells():
    costs = Costs(node=50, half_pitches=2, wire_capacitance=0.2e-9)
    assert costs.pitch == pytest.approx(100e-9)
    assert costs.line_capacitance(1000) == pytest.approx(0.2e-9 * 1000 * 100e-9)


def test_one_pulse():
    """V²·G·t: 2 V on 10 µS for 50 ns are 2 pJ; on the way to 20 µS half as much again."""
    cell = np.array(10e-6)
    assert pulse_energy(2.0, 50e-9, cell, cell) == pytest.approx(2e-12, rel=1e-15)
    assert pulse_energy(-2.0, 50e-9, cell, 2 * cell) == pytest.approx(3e-12, rel=1e-15)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adc_bits": 25}, "adc_bits = 25: must lie between 0"),
        ({"adc_share": 0}, "adc_share = 0: must be at least 1"),
        ({"capacitor_density": 0.0}, "capacitor_density = 0.0: must be finite, above 0"),
        ({"adc_time": -1.0}, "adc_time = -1.0: must be finite, 0 or more"),
        ({"leakage_density": float("inf")}, "leakage_density = inf"),
    ],
)
def test_what_costs_cannot_be(settings, words):
    with pytest.raises(InvalidValueError, match=words):
        Costs(**settings)


def test_chip_files_have_units():
    costs = {"neuron_area": "25 um²", "capacitor_density": "1 mF/m²", "adc_energy_per_step": "5 fJ"}
    chip = chip_specification.load({"device": "ideal", "costs": costs})
    assert chip.costs.neuron_area == pytest.approx(25e-12)
    assert (chip.costs.capacitor_density, chip.costs.adc_energy_per_step) == (1e-3, 5e-15)
    with pytest.raises(ConfigurationError, match=r'costs\.neuron_area = "25 um": its unit must'):
        chip_specification.load({"device": "ideal", "costs": {"neuron_area": "25 um"}})
