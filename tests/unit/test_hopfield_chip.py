import msgspec
import numpy as np
from numpy.testing import assert_allclose

from neurohw.chip import HopfieldChip
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.mappings import chip_specification

# As ideal, but with limits, so that layers can have units of conductance of their own.
LIMITED = {
    "device": {"preset": "ideal", "g_max": "50 uS"},
    "mapping": {"weight_range": 2.0},
    "input": {"full_scale": "0.2 V"},
    "bias": {"kind": "current"},
}


def on_chip(problem, **mapping):
    """Return a chip with the problem's weights and biases, and their dimensionless values."""
    table = LIMITED | {"mapping": LIMITED["mapping"] | mapping}
    unit = problem.leak[0][0]
    weights = [g / unit for g in problem.conductances]
    chip = HopfieldChip(
        chip_specification.load(table), problem.network, weights, seed=0, dtype="float64"
    )
    for k, (bias, current) in enumerate(zip(chip.biases, problem.current, strict=True)):
        bias.write(current / unit * chip.scale.unit_conductances[k])
    return chip


def one_step(problem, chip):
    """Return the free equilibrium, and the weights after one update at rate 1."""
    rule = HopfieldPropagation(
        problem.network,
        HopfieldEngine(),
        chip,
        variant="centered",
        nudging=0.1,
        free_sweeps=100,
        nudged_sweeps=100,
    )
    projection = chip.arrays[0].read(problem.inputs)
    contrast = rule.contrast(projection, problem.target, None, 0)
    layers = range(len(chip.arrays))
    rates = [chip.scale.learning_rate(1.0, k) for k in layers]
    bias_rates = [chip.scale.bias_learning_rate(1.0, k) for k in layers]
    updates, bias_updates = rule.updates(contrast, problem.inputs, rates, bias_rates)
    for array, update in zip(chip.arrays, updates, strict=True):
        array.program(update, 0)
    for bias, update in zip(chip.biases, bias_updates, strict=True):
        bias.program(update, 0)
    units = chip.scale.unit_conductances
    weights = [array.values() / unit for array, unit in zip(chip.arrays, units, strict=True)]
    biases = [bias.values / unit for bias, unit in zip(chip.biases, units, strict=True)]
    return contrast.free.state, weights, biases


def test_arrays_of_other_units_do_the_same(make_hopfield):
    """Mirrors make up for the ranges of the layers, in the states and in the learning."""
    problem = make_hopfield((6, 5), spread=0.0)
    expected = one_step(problem, on_chip(problem))
    chip = on_chip(problem, weight_range=[2.0, 4.0, 3.0])
    units = chip.scale.unit_conductances
    assert len(set(units)) == 3
    start = [array.values() / unit for array, unit in zip(chip.arrays, units, strict=True)]
    found = one_step(problem, chip)
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            # Halves of a window are added and taken off again: some rounding of it remains.
            assert_allclose(one, other, rtol=0, atol=1e-13 * max(1.0, np.abs(other).max()))
    moved = [np.abs(w - s).max() for w, s in zip(found[1], start, strict=True)]
    assert min(moved) > 1e-3


def test_a_chip_without_biases_has_leaks_only(make_hopfield):
    problem = make_hopfield((4,))
    specification = msgspec.structs.replace(
        chip_specification.load("ideal"), bias=chip_specification.load("epiram").bias
    )
    weights = [g * 1e5 for g in problem.conductances]
    chip = HopfieldChip(specification, problem.network, weights, seed=0, dtype="float32")
    for source, units in zip(chip.sources(0), (4, 3), strict=True):
        assert_allclose(source.current, np.zeros(units))
        assert_allclose(source.conductance, np.full(units, 10e-6, "float32"))
        assert source.conductance.dtype == np.float32
