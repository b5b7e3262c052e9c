"""NIR graphs: what `nir.read` finds, and the network that comes back."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.errors import ExportError, UnsupportedError
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.step import restore_chip
from neurohw.export import formats, verification, writing
from neurohw.export.importing import imported
from neurohw.export.mapping import weight_map

nir = pytest.importorskip("nir")

FORM = formats.load("nir")
SMALL = ("data.train=40", "network.hidden=[9]")


def written(run, tmp_path, layers=()):
    out = tmp_path / "graph.nir"
    writing.write(FORM, weight_map(run, layers), out)
    return out


@pytest.fixture(scope="module")
def resistive(make_run):
    run = make_run("drn-digits", "ideal", (*SMALL, "chip.bias.kind=current"))
    run.biases[0]["current"] = np.linspace(-1e-7, 1e-7, 9)
    return run


def test_a_resistive_layer_settles_where_kirchhoff_says(resistive, tmp_path):
    """τ·v̇ = (v_leak − v) + r·I at rest, against the sum of currents at each node."""
    graph = nir.read(written(resistive, tmp_path))
    with computing():
        machine = build(resistive.experiment, dataset_of(resistive.experiment))
    restore_chip(machine.chip, resistive)
    unit, volt = machine.chip.scale.unit_conductance, machine.chip.scale.unit_voltage
    below, above = (record["conductance"].astype(float) for record in resistive.arrays)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=below.shape[1]), rng.normal(size=above.shape[0])
    nodes = graph.nodes
    current = nodes["layer1_forward"].weight @ x + nodes["layer2_backward"].weight @ y
    rest = nodes["layer1"].v_leak + nodes["layer1"].r * current
    total = below.sum(axis=1) + above.sum(axis=0)
    expected = (below @ x + above.T @ y + resistive.biases[0]["current"] / volt) / total
    assert_allclose(rest, expected, rtol=1e-6)
    assert_allclose(nodes["layer1"].tau, 1e-12 / total, rtol=1e-6)
    assert_allclose(nodes["layer1_forward"].weight, below / unit, rtol=1e-6)
    assert_array_equal(nodes["layer2_backward"].weight, nodes["layer2_forward"].weight.T)
    assert ("layer2", "layer2_backward") in graph.edges
    assert ("layer2_backward", "layer1") in graph.edges
    assert ("layer2", "output") in graph.edges and ("input", "layer1_forward") in graph.edges
    assert "layer1_backward" not in nodes
    for key in ("ties", "clamps", "nudging", "unit_voltage", "unit_conductance", "inputs"):
        assert graph.metadata[key]


def test_a_hopfield_network_leaks_alike(make_run, tmp_path):
    run = make_run("ep-1h", "ideal", ("data.name=digits", *SMALL, "chip.bias.kind=current"))
    graph = nir.read(written(run, tmp_path))
    layer = graph.nodes["layer1"]
    assert isinstance(layer, nir.LI)
    assert (layer.r == 1).all() and np.ptp(layer.tau) == 0
    assert "hard-sigmoid" in graph.metadata["activation"]


def test_a_feedforward_network_is_affine(make_run, tmp_path):
    run = make_run("mlp-1h", "ideal", ("data.name=digits", *SMALL))
    graph = nir.read(written(run, tmp_path))
    assert [type(graph.nodes[f"layer{k}"]) for k in (1, 2)] == [nir.Affine, nir.Affine]
    assert graph.edges == [("input", "layer1"), ("layer1", "layer2"), ("layer2", "output")]
    assert "ties" not in graph.metadata


def test_the_same_network_comes_back_on_every_chip(case, tmp_path):
    """Of all schemes: cells whose weights are the file's, so that outputs are the run's."""
    _, run = case
    found = verification.verify(FORM, written(run, tmp_path), weight_map(run), images=20)
    assert found.same(lossless=False)
    assert found.difference <= 1e-4 * found.largest
    assert "ties" in FORM.notes(tmp_path)[0] or "tied" in FORM.notes(tmp_path)[0]


def test_import_programs_weights_and_biases(resistive, tmp_path):
    back = imported(FORM, written(resistive, tmp_path), resistive)
    for kind in ("arrays", "biases"):
        for found, expected in zip(getattr(back, kind), getattr(resistive, kind), strict=True):
            key = "conductance" if kind == "arrays" else "current"
            assert_allclose(found[key], expected[key], rtol=1e-6, atol=1e-15)


def changed(graph, **nodes):
    return nir.NIRGraph(nodes=graph.nodes | nodes, edges=graph.edges, type_check=False)


def test_graphs_that_no_chip_holds_are_refused(resistive, make_run, tmp_path):
    out = written(resistive, tmp_path)
    graph = nir.read(out)
    forward = graph.nodes["layer2_forward"].weight
    for nodes, message in (
        ({"layer2_backward": nir.Linear(weight=2 * forward.T)}, "is not the transpose"),
        ({"layer2": nir.Threshold(threshold=np.ones(10))}, "layer2: must be an Affine node"),
        ({"layer2_forward": nir.Linear(weight=np.nan * forward)}, "is not the transpose|finite"),
    ):
        nir.write(out, changed(graph, **nodes))
        with pytest.raises(ExportError, match=message):
            FORM.read(out)
    other = make_run("drn-digits", "ideal", ("data.train=40", "network.hidden=[11]"))
    with pytest.raises(ExportError, match="layer1: has 11 units and 128 inputs, the network's 9"):
        imported(FORM, written(other, tmp_path / "other"), resistive)
    no_biases = make_run("drn-digits", "epiram", ("data.train=40", "network.hidden=[9]"))
    out = written(resistive, tmp_path / "biased")
    with pytest.raises(ExportError, match="layer1: has 9 biases, the network's chip has none"):
        imported(FORM, out, no_biases)


def test_damaged_files_and_parts_are_refused(resistive, tmp_path):
    out = written(resistive, tmp_path)
    out.write_bytes(out.read_bytes()[:900])
    with pytest.raises(ExportError, match=r"graph\.nir: not a readable NIR graph"):
        FORM.read(out)
    with pytest.raises(ExportError, match="a graph needs every layer"):
        written(resistive, tmp_path / "part", ["layer1"])


def test_convolutions_are_refused(make_run, tmp_path):
    maps = "network.convolutions=[{channels=2,kernel=3}]"
    settings = ("data.name=digits", "data.train=40", "network.hidden=[]", maps)
    run = make_run("ep-1h", "ideal", settings)
    with pytest.raises(UnsupportedError, match=r"network\.convolutions: are not exported"):
        written(run, tmp_path)
