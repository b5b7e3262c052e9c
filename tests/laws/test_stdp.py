"""The spike-timing rule, integrated over the nudged phase, is the contrast of both phases."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import HopfieldChip
from neurohw.engines.equilibrium import Nudging
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.learning.stdp import SpikeTimingPropagation, course, directed
from neurohw.mappings import chip_specification
from neurohw.networks.activations import ACTIVATIONS

# After so long nothing moves any more, in units of an integrator's time constant.
LONG = 60


def rules(problem, variant, *, step=None, sweeps=4, nudging=0.5, **chip):
    """Return the contrast and the integral as rules on the same chip."""
    weights = [g / problem.leak[0][0] for g in problem.conductances]
    specification = chip_specification.load(
        {"device": "ideal", "bias": {"kind": "current"}, **chip}
    )
    built = HopfieldChip(specification, problem.network, weights, seed=0, dtype="float64")
    for bias, current in zip(built.biases, problem.current, strict=True):
        bias.write(current)
    phases = {"variant": variant, "nudging": nudging, "free_sweeps": 20, "nudged_sweeps": sweeps}
    return [
        kind(problem.network, HopfieldEngine(step), built, **phases)
        for kind in (HopfieldPropagation, SpikeTimingPropagation)
    ]


def updates_of(rule, problem):
    """Return the updates of all arrays, then of biases, of one mini-batch [S] and [A]."""
    current = rule.chip.arrays[0].read(problem.inputs)
    contrast = rule.contrast(current, problem.target, None, 3, problem.inputs)
    rates = list(range(1, 1 + len(problem.conductances)))
    updates, biases = rule.updates(contrast, problem.inputs, rates, rates)
    arrays = [u.dense(g, 0) for u, g in zip(updates, problem.conductances, strict=True)]
    return [*arrays, *(u.postsynaptic for u in biases)]


def require_alike(found, expected):
    """The signals are 1e3 times as large as their changes at most, over less than 100 steps."""
    for integrated, contrasted in zip(found, expected, strict=True):
        size = np.abs(contrasted).max()
        assert size > 0
        assert_allclose(integrated, contrasted, rtol=0, atol=1e-11 * size)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("variant", ["positive", "negative", "random_sign", "centered"])
@pytest.mark.parametrize("step", [None, 0.5, 0.05], ids=["sweeps", "steps", "short steps"])
def test_the_integral_is_the_contrast(make_hopfield, step, variant, activation):
    """To rounding, whatever the step, and also where the phases end before the network rests."""
    problem = make_hopfield((5, 4), activation=activation)
    contrast, integral = (updates_of(r, problem) for r in rules(problem, variant, step=step))
    assert len(contrast) == 6
    require_alike(integral, contrast)


@pytest.mark.parametrize("variant", ["positive", "centered"])
@pytest.mark.parametrize("correlation", ["frozen", "sample", "phase", "sweep"])
def test_it_is_where_reads_are_noisy(make_hopfield, correlation, variant):
    """The transient is then one towards where the noise of its phase, or of each sweep, leads."""
    reading = {"correlation": correlation, "relative": "1 %"}
    problem = make_hopfield((5,), activation="tanh")
    noisy = {"device": {"preset": "ideal", "reading": reading}}
    contrast, integral = (updates_of(rule, problem) for rule in rules(problem, variant, **noisy))
    require_alike(integral, contrast)


def test_it_is_where_samples_settle_at_different_times(make_hopfield):
    """Read one by one, a sample that has settled stays where it is while others go on."""
    problem = make_hopfield((5,), activation="tanh")
    reading = {"correlation": "sample", "relative": "5 %"}
    noisy = {"device": {"preset": "ideal", "reading": reading}}
    found = []
    for rule in rules(problem, "positive", sweeps=80, **noisy):
        rule.free_sweeps, rule.tolerance = 80, 1e-6
        found.append(updates_of(rule, problem))
    require_alike(found[1], found[0])


def transient(problem, *, nudging=0.5, step=0.05, time=LONG):
    """Return what neurons put out, and their membranes, from the free to the nudged rest."""
    network, engine = problem.network, HopfieldEngine(step)
    free = problem.relax(HopfieldEngine(), sweeps=500, tolerance=1e-13)
    assert free.result == "converged"
    strength = np.full(len(problem.target), nudging * problem.leak[0][0])
    pulled = problem.relax(
        engine,
        start=free,
        nudging=Nudging(strength=strength, target=problem.target),
        sweeps=round(time / step),
        keep_path=True,
    )
    return [network.forward(k, u) for k, u in enumerate(pulled.path)], pulled.path


def test_both_directions_make_the_contrast(make_hopfield):
    (one, other, _), _ = transient(make_hopfield((5, 4), activation="sigmoid"))
    both = directed(one, other) + directed(other, one).swapaxes(1, 2)
    contrast = [np.einsum("bi,bj->bji", one[t], other[t]) for t in (-1, 0)]
    expected = contrast[0] - contrast[1]
    assert_allclose(both, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_one_direction_is_the_free_rate_times_the_change(make_hopfield):
    """To first order in β; the same of membranes, times the slope of the activation."""
    problem = make_hopfield((5, 4), activation="tanh")
    # Weaker, so that no mode is slow.
    problem = replace(problem, conductances=[0.6 * g for g in problem.conductances])
    misses = {"rates": [], "membranes": []}
    for nudging in (0.02, 0.01):
        lines, membranes = transient(problem, nudging=nudging)
        change = course(lines[1])[1].sum(axis=0)
        expected = np.einsum("bi,bj->bji", lines[0][0], change)
        slope = problem.network.slope(membranes[1][0])[:, :, None]
        found = {
            "rates": directed(lines[0], lines[1]),
            "membranes": slope * directed(lines[0], membranes[1]),
        }
        for name, values in found.items():
            misses[name].append(np.abs(values - expected).max() / np.abs(expected).max())
    for large, small in misses.values():
        assert 0 < large < 0.05
        # The next term of the expansion is smaller by about β.
        assert_allclose(np.log2(large / small), 1, atol=0.1)


def test_shorter_steps_lead_to_the_integral_over_time(make_hopfield):
    """Taken with the rate before each step, the sum of both directions misses by the step."""
    problem = make_hopfield((5, 4), activation="sigmoid")
    missed, single = [], []
    for step in (0.1, 0.05, 0.025):
        (one, other, _), _ = transient(problem, step=step, time=20)
        ahead = np.einsum("tbi,tbj->bji", one[:-1], np.diff(other, axis=0))
        ahead += np.einsum("tbi,tbj->bji", np.diff(one, axis=0), other[:-1])
        exact = directed(one, other) + directed(other, one).swapaxes(1, 2)
        missed.append(np.abs(ahead - exact).max() / np.abs(exact).max())
        single.append(directed(one, other))
    # Halved with the step, but for terms that are smaller by the step.
    for large, small in pairwise(missed):
        assert_allclose(large / small, 2, rtol=0.1)
    # So does the integral of one direction, whose way is that of the steps.
    apart = [np.abs(a - b).max() for a, b in pairwise(single)]
    assert_allclose(apart[0] / apart[1], 2, rtol=0.15)


def test_samples_in_turn_ask_for_the_same(make_hopfield):
    problem = make_hopfield((5,))
    found = {}
    for events in ("batch", "sample"):
        _, rule = rules(problem, "centered", programming={"events": events})
        current = rule.chip.arrays[0].read(problem.inputs)
        contrast = rule.contrast(current, problem.target, None, 0, problem.inputs)
        found[events], _ = rule.updates(contrast, problem.inputs, [1.0, 1.0], [1.0, 1.0])
    for together, apart, g in zip(*found.values(), problem.conductances, strict=True):
        assert len(apart.presynaptic) == len(problem.inputs)
        whole = sum(apart.dense(g, event) for event in range(len(problem.inputs)))
        expected = together.dense(g, 0)
        assert_allclose(whole, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
