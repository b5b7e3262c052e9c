"""A graph of the neuromorphic intermediate representation (NIR): neurons, and weights each way.

Layer k of a relaxing network becomes leaky integrators ``layerk``, τ·v̇ = (v_leak − v) + r·I, with
a linear node ``layerk_forward`` from the layer below and, but for the first, ``layerk_backward``
to it, its transpose. Layers of a feed-forward network become affine nodes ``layerk``. Weights are
dimensionless, states in units of the unit voltage, τ in seconds:

    resistive    r = 1/G,  τ = C/G,     v_leak = I/G   (G all conductance that meets a node)
    Hopfield     r = 1,    τ = C/leak,  v_leak = bias

NIR has no tied weights, clamps, activations, units or nudging: these are in the metadata, as text
that no other program acts on, and are what an exported graph loses.

References
----------
Pedersen et al. (2024), Nature Communications 15, 8122, and the package nir, 1.0.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BoltzmannChip, Chip, FeedforwardChip, HopfieldChip
from neurohw.engines.equilibrium import joined_ideally
from neurohw.engines.kirchhoff import total_conductances
from neurohw.errors import ExportError, UnsupportedError
from neurohw.experiments import run_file
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import restore_chip
from neurohw.export.formats import Contents, Format
from neurohw.export.weight_map import WeightMap

Array = NDArray[np.floating]

LOST = (
    "NIR holds neither tied weights nor clamps, activations, units or nudging: they are text in"
    " the metadata, and a program that runs the graph leaves them out."
)


class NirGraph(Format, frozen=True):
    """An HDF5 file that `nir.read` reads; weights and biases, no cells."""

    name = "nir"
    description = "NIR graph: leaky integrators and a linear node each way; ties and clamps as text"
    suffix = ".nir"

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        nir, run = _package(), weights.run
        if sum(layer.name.startswith("layer") for layer in weights.layers) != len(run.arrays):
            raise ExportError("format = nir: a graph needs every layer; leave out --layer")
        if run.experiment.network.kind == "boltzmann":
            raise UnsupportedError("format = nir: network.kind = boltzmann: NIR draws no states")
        if run.experiment.network.convolutions:
            raise UnsupportedError("format = nir: network.convolutions: are not exported")
        with computing():
            chip = build(run.experiment, dataset_of(run.experiment)).chip
            restore_chip(chip, run)
        assert not isinstance(chip, BoltzmannChip)
        nodes, edges = (
            _feedforward(nir, chip) if isinstance(chip, FeedforwardChip) else _relaxing(nir, chip)
        )
        metadata = {key: str(text) for key, text in _metadata(run, chip).items()}
        graph = nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)
        nir.write(out, graph)
        if weights.advance is not None:
            weights.advance(weights.cells)

    def read(self, path: Path) -> Contents:
        """Read weights and biases; forward and backward ones must be each other's transpose."""
        nir = _package()
        try:
            nodes = nir.read(path).nodes
        except Exception as error:  # whatever the package makes of a damaged file
            text = " ".join(str(error).split()) or type(error).__name__
            raise ExportError(f"{path}: not a readable NIR graph: {text}") from None
        logical: dict[str, tuple[Array, Array]] = {}
        for number in range(1, 1 + sum(name.removeprefix("layer").isdecimal() for name in nodes)):
            logical[f"layer{number}"] = _layer(nir, nodes, f"layer{number}", path)
        if not logical:
            raise ExportError(f"{path}: has no node layer1: its nodes are {', '.join(nodes)}")
        return Contents(path=path, tiles=iter(()), logical=logical)

    def notes(self, path: Path) -> list[str]:
        """Return what the graph loses."""
        return [LOST]


def _package() -> Any:
    try:
        import nir
    except ImportError:
        raise UnsupportedError(
            "format = nir: the package nir is missing; install it: pip install 'neurohw[nir]'"
        ) from None
    return nir


def _feedforward(nir: Any, chip: FeedforwardChip) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return an affine node a layer, and the edges."""
    weights, biases = chip.logical()
    nodes = {"input": nir.Input({"input": np.array([weights[0].shape[1]])})}
    for k, weight in enumerate(weights):
        nodes[f"layer{k + 1}"] = _affine(nir, weight, biases[k] if biases else None)
    nodes["output"] = nir.Output({"output": np.array([len(weights[-1])])})
    return nodes, list(pairwise(nodes))


def _affine(nir: Any, weight: Array, bias: Array | None) -> Any:
    bias = np.zeros(len(weight)) if bias is None else bias
    return nir.Affine(weight=weight.astype(np.float64), bias=bias.astype(np.float64))


def _relaxing(nir: Any, chip: Chip | HopfieldChip) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return leaky integrators with a linear node each way, and the edges."""
    weights, biases = chip.logical()
    integrators = _resistive(chip) if isinstance(chip, Chip) else _hopfield(chip, biases)
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([weights[0].shape[1]])})}
    edges, below = [], "input"
    for k, weight in enumerate(weights):
        name, weight = f"layer{k + 1}", weight.astype(np.float64)
        if isinstance(chip, HopfieldChip) and chip.network.readout(k):
            # Its sums are read out and nothing goes back.
            nodes[name] = _affine(nir, weight, biases[k] if biases else None)
            edges.append((below, name))
        else:
            tau, r, v_leak = integrators[k]
            nodes[f"{name}_forward"] = nir.Linear(weight=weight)
            nodes[name] = nir.LI(tau=tau, r=r, v_leak=v_leak)
            edges += [(below, f"{name}_forward"), (f"{name}_forward", name)]
            if k > 0:
                nodes[f"{name}_backward"] = nir.Linear(weight=weight.T.copy())
                edges += [(name, f"{name}_backward"), (f"{name}_backward", below)]
        below = name
    nodes["output"] = nir.Output({"output": np.array([len(weights[-1])])})
    return nodes, [*edges, (below, "output")]


def _resistive(chip: Chip) -> list[tuple[Array, Array, Array]]:
    """Return τ [s], r and v_leak of the nodes of each layer."""
    arrays = [joined_ideally(array.values().astype(np.float64)) for array in chip.arrays]
    sources, scale = chip.sources(), chip.scale
    capacitance = chip.specification.neuron.capacitance
    return [
        (
            capacitance / total,
            scale.unit_conductance / total,
            source.current / total / scale.unit_voltage,
        )
        for total, source in zip(
            total_conductances(chip.network, arrays, sources), sources, strict=True
        )
    ]


def _hopfield(chip: HopfieldChip, biases: list[Array]) -> list[tuple[Array, Array, Array]]:
    tau = chip.specification.neuron.capacitance / chip.scale.leak
    each = biases or [np.zeros(units) for units in chip.network.layers]
    return [(np.full(len(b), tau), np.ones(len(b)), b.astype(np.float64)) for b in each]


def _metadata(run: Run, chip: Any) -> dict[str, str]:
    """Return what NIR cannot hold, as text."""
    experiment = run.experiment
    network, neuron = experiment.network, experiment.chip.neuron
    found = {
        "producer": "neurohw",
        "recipe": experiment.recipe,
        "chip": experiment.chip.name,
        "run_checksum": run_file.checksum(run),
        "lost": LOST,
        "unit_voltage": f"{chip.scale.unit_voltage!r} V is a state of 1",
    }
    if network.kind == "resistive":
        half = "the first half of a hidden layer from below, the others from above"
        found |= {
            "unit_conductance": f"{chip.scale.unit_conductance!r} S is a weight of 1",
            "inputs": "pairs: the second half carries the voltages of the first half, negated",
            "clamps": f"{neuron.kind} diodes hold {half}; outputs are free",
        }
    else:
        units = chip.scale.unit_conductances
        found |= {
            "unit_conductances": f"{', '.join(map(repr, units))} S are a weight of 1 of each layer",
            "activation": f"{network.activation}; outputs {network.output or network.activation}",
        }
    if network.kind != "feedforward":
        found |= {
            "ties": "layerK_backward is the transpose of layerK_forward: the same cells",
            "nudging": f"{experiment.learning.variant}, {experiment.nudging!r}: not in the graph",
        }
    return found


def _layer(nir: Any, nodes: dict[str, Any], name: str, path: Path) -> tuple[Array, Array]:
    """Return weights (units, inputs) and biases (units,) of a layer."""
    node = nodes.get(name)
    if isinstance(node, nir.Affine):
        weight, bias = node.weight, node.bias
    elif isinstance(node, nir.LI) and isinstance(nodes.get(f"{name}_forward"), nir.Linear):
        weight, bias = nodes[f"{name}_forward"].weight, node.v_leak / node.r
    else:
        raise ExportError(
            f"{path}: {name}: must be an Affine node, or an LI node with a Linear {name}_forward"
        )
    back = nodes.get(f"{name}_backward")
    if back is not None and not np.array_equal(back.weight, weight.T):
        raise ExportError(
            f"{path}: {name}_backward: is not the transpose of {name}_forward: a chip has one array"
            " for both"
        )
    if weight.ndim != 2 or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ExportError(f"{path}: {name}: weights must be finite, (units, inputs)")
    return np.asarray(weight, np.float64), np.asarray(bias, np.float64)
