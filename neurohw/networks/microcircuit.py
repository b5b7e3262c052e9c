"""Pyramidal neurons with three compartments and interneurons beside them, without hardware.

A hidden pyramidal neuron of layer k has a soma u_k, a basal dendrite that the layer below drives,
and an apical dendrite that the layer above drives and interneurons oppose. There are as many
interneurons beside layer k as pyramidal neurons in layer k + 1, and each is nudged towards its own
one of these. All weights are counted as they act at rest on the soma that they lead to, basal
conductance over all conductances included, so that with rates r = φ(u)

    b_k = W_k·r_{k−1} + θ_k                     prediction of the soma by its basal dendrite
    v_k = D_k·r_{k+1} + P_k·φ(i_k)              apical dendrite: top-down and interneurons
    p_k = I_k·r_k + θᴵ_k                        prediction of the interneuron by its dendrite
    u_k = b_k + λ·v_k,   u_N = b_N + λ_N·(t − b_N),   i_k = p_k + λ_I·(u_{k+1} − p_k)

hold at rest, t being the soma that a teacher asks of the outputs. Each weight learns from what its
neuron's own compartments carry,

    ΔW_k ∝ (φ(u_k) − φ(b_k))·r_{k−1}ᵀ,   ΔI_k ∝ (φ(i_k) − φ(p_k))·r_kᵀ,   ΔP_k ∝ −v_k·φ(i_k)ᵀ

and top-down weights, where they learn, ΔD_k ∝ (φ(u_k) − φ(D_k·r_{k+1}))·r_{k+1}ᵀ. In the
self-predicting state, I_k = W_{k+1} and P_k = −D_k, the apical dendrites are silent without a
teacher, and with one they carry D_k times the errors above. In two sweeps, r_{k−1} and r_k in
ΔW_k and ΔI_k are the rates of the sweep up.

References
----------
Sacramento, Costa, Bengio, Senn (2018), "Dendritic cortical microcircuits approximate the
backpropagation algorithm", NeurIPS.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]
Rate = Callable[[Array], Array]


def soft_plus(u: Array) -> Array:
    """Return 0.1·ln(1 + e^(u − 3)), the rate of the regression in Sacramento et al."""
    return np.asarray(0.1 * np.logaddexp(0.0, u - 3.0))


def logistic(u: Array) -> Array:
    """Return 1/(1 + e^(−u))."""
    # Of the half argument: tanh does not overflow.
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * u))


@dataclass(frozen=True, kw_only=True)
class Mixes:
    """λ, λ_I and λ_N: how far apical dendrites, neighbours and the teacher move a soma.

    Raises
    ------
    InvalidValueError
        One is not above 0, or not below 1.
    """

    hidden: float = 0.3
    interneuron: float = 0.3
    output: float = 0.1

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if not 0 < value < 1:
                raise InvalidValueError(f"{key} = {value:g}: must be above 0 and below 1")


@dataclass(frozen=True, eq=False, kw_only=True)
class Microcircuit:
    """Weights of N layers, the outputs included; (units, inputs) arrays each.

    Parameters
    ----------
    basal : sequence of N arrays
        W_k, from the layer below.
    top_down, from_interneurons, to_interneurons : sequence of N − 1 arrays
        D_k and P_k onto hidden layer k, from the layer above and from the interneurons; I_k from
        hidden layer k to the interneurons.
    thresholds, interneuron_thresholds : sequence of (units,) arrays
        θ_k and θᴵ_k.
    """

    basal: Sequence[Array]
    top_down: Sequence[Array]
    from_interneurons: Sequence[Array]
    to_interneurons: Sequence[Array]
    thresholds: Sequence[Array]
    interneuron_thresholds: Sequence[Array]


def self_predicting(
    basal: Sequence[Array], top_down: Sequence[Array], thresholds: Sequence[Array] | None = None
) -> Microcircuit:
    """Return the circuit whose interneurons predict the layer above; thresholds are 0 if None."""
    if thresholds is None:
        thresholds = [np.zeros(len(w)) for w in basal]
    return Microcircuit(
        basal=[w.copy() for w in basal],
        top_down=[d.copy() for d in top_down],
        from_interneurons=[-d for d in top_down],
        to_interneurons=[w.copy() for w in basal[1:]],
        thresholds=[b.copy() for b in thresholds],
        interneuron_thresholds=[b.copy() for b in thresholds[1:]],
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Sweep:
    """What two sweeps leave: (batch, units) a layer.

    predictions, b_k; somas, u_k; apical, v_k, of the hidden layers; interneuron_predictions and
    interneurons, p_k and i_k beside each hidden layer.
    """

    predictions: list[Array]
    somas: list[Array]
    apical: list[Array]
    interneuron_predictions: list[Array]
    interneurons: list[Array]


def two_sweeps(
    circuit: Microcircuit, mixes: Mixes, rate: Rate, inputs: Array, teaching: Array | None
) -> Sweep:
    """Run up with silent apical dendrites, then down from the outputs, and return the somas.

    Parameters
    ----------
    circuit : Microcircuit
    mixes : Mixes
    rate : callable
        φ of an array.
    inputs : (batch, inputs) array
        r_0.
    teaching : (batch, outputs) array, optional
        t; without it there is no teacher.
    """
    predictions: list[Array] = []
    below = inputs
    for w, threshold in zip(circuit.basal, circuit.thresholds, strict=True):
        predictions.append(below @ w.T + threshold)
        below = rate(predictions[-1])
    guesses: list[Array] = [
        rate(b) @ w.T + threshold
        for b, w, threshold in zip(
            predictions[:-1], circuit.to_interneurons, circuit.interneuron_thresholds, strict=True
        )
    ]
    last = predictions[-1]
    somas = [last if teaching is None else last + mixes.output * (teaching - last)]
    apical: list[Array] = []
    interneurons: list[Array] = []
    for k in range(len(guesses) - 1, -1, -1):
        interneurons.insert(0, guesses[k] + mixes.interneuron * (somas[0] - guesses[k]))
        top_down = rate(somas[0]) @ circuit.top_down[k].T
        apical.insert(0, top_down + rate(interneurons[0]) @ circuit.from_interneurons[k].T)
        somas.insert(0, predictions[k] + mixes.hidden * apical[0])
    return Sweep(
        predictions=predictions,
        somas=somas,
        apical=apical,
        interneuron_predictions=guesses,
        interneurons=interneurons,
    )


def changes(
    circuit: Microcircuit, rate: Rate, inputs: Array, sweep: Sweep
) -> dict[str, list[Array]]:
    """Return the batch's mean change of each of the circuit's weights, at a learning rate of 1.

    Returns
    -------
    dict of lists of (units, inputs) arrays
        basal, to_interneurons, from_interneurons and top_down.
    """
    batch = len(inputs)
    rates = [rate(u) for u in sweep.somas]
    upward = [rate(b) for b in sweep.predictions]
    below = [inputs, *upward[:-1]]
    basal: list[Array] = [
        (r - b).T @ x / batch for r, b, x in zip(rates, upward, below, strict=True)
    ]
    inter = [rate(i) for i in sweep.interneurons]
    to_interneurons: list[Array] = [
        (i - rate(p)).T @ r / batch
        for i, p, r in zip(inter, sweep.interneuron_predictions, upward[:-1], strict=True)
    ]
    from_interneurons: list[Array] = [
        -v.T @ i / batch for v, i in zip(sweep.apical, inter, strict=True)
    ]
    top_down: list[Array] = [
        (r - rate(above @ d.T)).T @ above / batch
        for r, above, d in zip(rates[:-1], rates[1:], circuit.top_down, strict=True)
    ]
    return {
        "basal": basal,
        "to_interneurons": to_interneurons,
        "from_interneurons": from_interneurons,
        "top_down": top_down,
    }
