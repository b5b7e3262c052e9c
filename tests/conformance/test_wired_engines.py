"""Networks whose arrays have wires: every engine against the equations of all nodes at once."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw import engines
from neurohw.circuits import tiles
from neurohw.circuits.interconnect import Wires
from neurohw.engines.equilibrium import Nudging, SeenArray
from neurohw.engines.kirchhoff import couplings, injected, system, total_conductances
from neurohw.engines.numba import engine as compiled
from neurohw.networks.resistive import nudging_bound

# Some 5 % of the current is lost, and nodes of a layer are coupled as strongly.
WIRES = Wires(word_line=150.0, bit_line=150.0, tile=4)


def wired(problem):
    """Return the arrays of a problem with wires."""
    arrays = []
    for k, g in enumerate(problem.conductances):
        exact = tiles.reduce(g, WIRES, driven=k == 0)
        arrays.append(
            SeenArray(
                conductance=exact.transfer,
                unit_sums=exact.unit_sums,
                input_sums=exact.input_sums,
                unit_coupling=exact.unit_coupling,
                input_coupling=exact.input_coupling,
                cells=g,
                wires=WIRES,
            )
        )
    return arrays


def relax(problem, engine, **options):
    arrays = wired(problem)
    current = problem.inputs @ arrays[0].conductance.T
    return engines.load(engine).relax(
        problem.network, arrays, problem.sources, current.astype(problem.inputs.dtype), **options
    )


@pytest.mark.parametrize(("hidden", "dtype"), [((6,), "float32"), ((7, 9), "float64")], ids=str)
@pytest.mark.parametrize("batch", [3, 4])
def test_engines_agree_sweep_by_sweep(make_problem, hidden, dtype, batch):
    problem = make_problem(hidden, dtype=dtype, batch=batch)
    share = 200 * np.finfo(dtype).eps
    options = [{"sweeps": 1}, {"sweeps": 5}]
    strength = np.full(batch, 3e-6, dtype)
    options.append({"sweeps": 4, "nudging": Nudging(strength=strength, target=problem.target)})
    for option in options:
        found, expected = (relax(problem, engine, **option) for engine in ("numba", "numpy"))
        for ours, theirs in zip(found.state, expected.state, strict=True):
            assert_allclose(ours, theirs, rtol=0, atol=share * np.abs(theirs).max())
        assert_allclose(found.residual, expected.residual, rtol=1e-3, atol=share)


def test_couplings_are_kept_by_tile(make_problem):
    problem = make_problem((7, 9))
    arrays, network = wired(problem), problem.network
    kept = compiled._couplings(network, arrays, True, np.dtype(np.float64))
    for blocks, full in zip(kept, couplings(network, arrays), strict=True):
        units = len(full)
        assert blocks.shape == (units, min(units, WIRES.tile))
        restored = np.zeros_like(full)
        for j in range(units):
            first = j // WIRES.tile * WIRES.tile
            stop = min(first + WIRES.tile, units)
            restored[j, first:stop] = blocks[j, : stop - first]
        assert_array_equal(restored, full)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_equilibrium_balances_every_node(make_problem, engine):
    problem = make_problem((7, 9), diodes=False)
    found = relax(problem, engine, sweeps=3000, tolerance=1e-14)
    arrays = wired(problem)
    current = problem.inputs @ arrays[0].conductance.T
    terms = problem.network, arrays, problem.sources
    state = np.linalg.solve(system(*terms), injected(*terms, current).T).T
    assert_allclose(
        np.concatenate(found.state, axis=1), state, rtol=0, atol=1e-11 * np.abs(state).max()
    )
    ideal = problem.relax(engine, sweeps=3000, tolerance=1e-14).state[0]
    assert np.abs(found.state[0] - ideal).max() > 1e-3 * np.abs(ideal).max()


@pytest.mark.parametrize("hidden", [(6,), (7, 9)], ids=str)
def test_nudging_bound_counts_the_couplings(make_problem, hidden):
    problem = make_problem(hidden, seed=1)
    arrays, outputs = wired(problem), problem.network.layers[-1]
    terms = problem.network, arrays, problem.sources
    matrix = system(*terms)
    stiffness = np.linalg.inv(np.linalg.inv(matrix)[-outputs:, -outputs:])
    given = problem.network, [array.conductance for array in arrays], total_conductances(*terms)
    found = nudging_bound(*given, couplings(problem.network, arrays))
    assert_allclose(found, np.linalg.eigvalsh(stiffness)[0], rtol=1e-9)
    without = nudging_bound(*given)
    assert abs(without - found) > 1e-4 * found
