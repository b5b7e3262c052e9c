"""The bound on negative nudging is sharp where no diode clamps a hidden node."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.engines.equilibrium import Nudging
from neurohw.engines.kirchhoff import total_conductances
from neurohw.networks.resistive import nudging_bound

HIDDEN = [(5,), (6, 4), (4, 5, 3)]


def bound_of(problem):
    totals = total_conductances(problem.network, problem.arrays, problem.sources)
    return nudging_bound(problem.network, problem.conductances, totals)


def conductance_matrix(problem):
    """Return the matrix of all free nodes [S], from its definition."""
    layers = problem.network.layers
    starts = np.concatenate(([0], np.cumsum(layers)))
    matrix = np.zeros((starts[-1], starts[-1]))
    for k, g in enumerate(problem.conductances):
        for j in range(layers[k]):
            matrix[starts[k] + j, starts[k] + j] += problem.sources[k].conductance[j]
            for i in range(g.shape[1]):
                matrix[starts[k] + j, starts[k] + j] += g[j, i]
                if k > 0:
                    matrix[starts[k - 1] + i, starts[k - 1] + i] += g[j, i]
                    matrix[starts[k] + j, starts[k - 1] + i] -= g[j, i]
                    matrix[starts[k - 1] + i, starts[k] + j] -= g[j, i]
    return matrix


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_bound_is_the_schur_complement_of_the_whole_network(make_problem, hidden):
    problem = make_problem(hidden, seed=1)
    matrix = conductance_matrix(problem)
    outputs = problem.network.layers[-1]
    stiffness = np.linalg.inv(np.linalg.inv(matrix)[-outputs:, -outputs:])
    assert_allclose(bound_of(problem), np.linalg.eigvalsh(stiffness)[0], rtol=1e-9)


def test_bound_without_hidden_layers(make_problem):
    problem = make_problem((), seed=1)
    (total,) = total_conductances(problem.network, problem.arrays, problem.sources)
    assert_allclose(bound_of(problem), total.min(), rtol=1e-12)


@pytest.mark.parametrize("share", [0.97, 1.03])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_relaxation_converges_below_and_diverges_above(make_problem, engine, hidden, share):
    problem = make_problem(hidden, seed=2, diodes=False)
    nudging = Nudging(strength=np.full(4, -share * bound_of(problem)), target=problem.target)
    first = problem.relax(engine, nudging=nudging, sweeps=2000 if share < 1 else 300)
    later = problem.relax(engine, nudging=nudging, start=first, sweeps=200)
    sizes = [np.abs(np.concatenate(e.state, axis=1)).max(axis=1) for e in (first, later)]
    if share > 1:
        assert np.all(sizes[1] > 1.1 * sizes[0])
        return
    assert later.residual < 1e-12
    matrix, outputs = conductance_matrix(problem), problem.network.layers[-1]
    matrix[-outputs:, -outputs:] += nudging.strength[0] * np.eye(outputs)
    feed = np.tile(np.concatenate([source.current for source in problem.sources]), (4, 1))
    feed[:, : problem.network.layers[0]] += problem.input_current
    feed[:, -outputs:] += nudging.strength[0] * problem.target
    expected = np.linalg.solve(matrix, feed.T).T
    found = np.concatenate(later.state, axis=1)
    assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_clamped_nodes_only_make_the_network_stiffer(make_problem):
    problem = make_problem((6, 4), seed=3)
    matrix, outputs = conductance_matrix(problem), problem.network.layers[-1]
    rng = np.random.default_rng(0)
    for _ in range(20):
        kept = np.concatenate([rng.uniform(size=10) < 0.5, np.ones(outputs, bool)])
        free = matrix[np.ix_(kept, kept)]
        stiffness = np.linalg.inv(np.linalg.inv(free)[-outputs:, -outputs:])
        assert np.linalg.eigvalsh(stiffness)[0] >= bound_of(problem) * (1 - 1e-12)


def test_hidden_nodes_that_nothing_grounds_hold_nothing(make_problem):
    """A node without conductance, and two that only meet each other."""
    problem = make_problem((5, 4, 3), seed=4)
    for source in problem.sources:
        source.conductance[:] = 0
    problem.conductances[1][0] = 0
    problem.conductances[2][:, 0] = 0
    problem.conductances[1][1] = 0
    problem.conductances[2][:, 1] = 0
    problem.conductances[2][1] = 0
    problem.conductances[2][1, 1] = 5e-6
    problem.conductances[3][:, 1] = 0
    alone = [5 + 0, 5 + 1, 5 + 4 + 1]
    matrix, outputs = conductance_matrix(problem), problem.network.layers[-1]
    kept = np.setdiff1d(np.arange(len(matrix)), alone)
    inverse = np.linalg.inv(matrix[np.ix_(kept, kept)])
    expected = np.linalg.eigvalsh(np.linalg.inv(inverse[-outputs:, -outputs:]))[0]
    assert_allclose(bound_of(problem), expected, rtol=1e-9)
