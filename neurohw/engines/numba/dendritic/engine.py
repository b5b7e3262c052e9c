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
        basal, top_down, from_interneurons, to_interneurons = state.weights
        u, inter = state.somas, state.interneurons
        layers, hidden = range(len(u)), range(len(inter))
        r = [np.array(inputs, np.float64), *map(np.empty_like, u)]
        s, p, ahead, e_inter = ([np.empty_like(i) for i in inter] for _ in range(4))
        b, e_basal = ([np.empty_like(v) for v in u] for _ in range(2))
        above, beside, v, e_apical, e_down = ([np.empty_like(x) for x in u[:-1]] for _ in range(5))
        goal = u[-1] if teaching is None else np.array(teaching, np.float64)
        to_goal = np.empty_like(u[-1])
        taught = 0.0 if teaching is None else mixes.output
        output_rate = m.output_rate(taught=teaching is not None)
        # Outputs first, then hidden layers and interneurons; noise is in the order of the oracle.
        order = np.cumsum([0, *(len(x) for x in (*u, *inter))])
        last, n = int(order[len(u) - 1]), int(order[len(u)])
        noise = np.concatenate((noise[:, last:n], noise[:, :last], noise[:, n:]), axis=1)
        square, outputs = np.zeros(len(inter)), np.zeros(len(u[-1]))
        kernels.present(
            (*((u[k], r[k + 1]) for k in layers), *((inter[k], s[k]) for k in hidden)),
            (
                *((basal[k], r[k], b[k]) for k in layers),
                *((to_interneurons[k], r[k + 1], p[k]) for k in hidden),
                *((top_down[k], r[k + 2], above[k]) for k in hidden),
                *((from_interneurons[k], s[k], beside[k]) for k in hidden),
            ),
            tuple((above[k], beside[k], v[k], e_apical[k]) for k in hidden),
            ((goal, b[-1], to_goal), *((u[k + 1], p[k], ahead[k]) for k in hidden)),
            (
                *((r[k + 1], b[k], e_basal[k]) for k in layers),
                *((s[k], p[k], e_inter[k]) for k in hidden),
                *((r[k + 1], above[k], e_down[k]) for k in hidden),
            ),
            (
                (u[-1], b[-1], to_goal),
                *((u[k], b[k], v[k]) for k in hidden),
                *((inter[k], p[k], ahead[k]) for k in hidden),
            ),
            np.array([taught, *[mixes.hidden] * len(inter), *[mixes.interneuron] * len(inter)]),
            m.step
            * np.array(
                [output_rate, *[m.hidden_rate] * len(inter), *[m.interneuron_rate] * len(inter)]
            ),
            (
                *((basal[k], state.filtered[0][k], e_basal[k], r[k]) for k in layers),
                *((top_down[k], state.filtered[1][k], e_down[k], r[k + 2]) for k in hidden),
                *((from_interneurons[k], state.filtered[2][k], e_apical[k], s[k]) for k in hidden),
                *((to_interneurons[k], state.filtered[3][k], e_inter[k], r[k + 1]) for k in hidden),
            ),
            m.step
            * np.array(
                [
                    *rates.basal,
                    *rates.top_down,
                    *rates.from_interneurons,
                    *rates.to_interneurons,
                ]
            ),
            m.step / m.plasticity_time,
            m.rate == "soft-plus",
            steps,
            held,
            noise,
            square,
            outputs,
        )
        late = steps - steps // 2
        return square / late, outputs / late
