"""Compiled engine of dendritic microcircuits in time."""

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.dendritic import DendriticEngine, State
from neurohw.engines.numba.dendritic import kernels

Array = NDArray[np.floating]


class NumbaDendriticEngine(DendriticEngine):
    """Integrates microcircuits in compiled code; see `DendriticEngine`."""

    def _run(
        self,
        state: State,
        inputs: Array,
        teaching: Array | None,
        steps: int,
        held: int,
        noise: Array,
    ) -> tuple[Array, Array]:
        m, mixes, rates = self.membranes, self.membranes.mixes, self.rates
        hidden = len(state.interneurons)
        basal, top_down, from_interneurons, to_interneurons = state.weights
        gains = np.zeros((4, hidden + 1))
        for kind, each in enumerate(
            (rates.basal, rates.top_down, rates.from_interneurons, rates.to_interneurons)
        ):
            gains[kind, : len(each)] = np.array(each) * m.step
        output_rate = m.output_rate(taught=teaching is not None)
        like = (*(state.somas,) * 3, *(state.interneurons,) * 2, *(state.somas[:-1],) * 3)
        square, outputs = np.zeros(hidden), np.zeros(len(state.somas[-1]))
        kernels.present(
            np.ascontiguousarray(inputs, np.float64),
            np.zeros(0) if teaching is None else np.ascontiguousarray(teaching, np.float64),
            tuple(state.somas),
            tuple(state.interneurons),
            tuple(basal),
            tuple(top_down),
            tuple(from_interneurons),
            tuple(to_interneurons),
            tuple(map(tuple, state.filtered)),
            gains,
            (mixes.hidden, mixes.interneuron, mixes.output),
            (m.step * m.hidden_rate, m.step * m.interneuron_rate, m.step * output_rate),
            m.step / m.plasticity_time,
            m.rate == "soft-plus",
            steps,
            held,
            noise,
            tuple(tuple(map(np.empty_like, each)) for each in like),
            square,
            outputs,
        )
        late = steps - steps // 2
        return square / late, outputs / late
