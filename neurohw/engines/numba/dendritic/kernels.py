"""Compiled course of a dendritic microcircuit; the oracle is `neurohw.engines.dendritic`."""

import numpy as np
from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}
inner = njit(fastmath=FAST, error_model="numpy")


@inner
def rate_of(u, soft):
    """Return φ: 0.1·ln(1 + e^(u − 3)) where soft, else the logistic function."""
    if soft:
        x = u - 3.0
        return 0.1 * (max(x, 0.0) + np.log1p(np.exp(-abs(x))))
    return 0.5 + 0.5 * np.tanh(0.5 * u)


@inner
def rates_into(u, soft, r):
    """Write φ of each."""
    for i in range(u.shape[0]):
        r[i] = rate_of(u[i], soft)


@inner
def product(w, x, y):
    """Write w·x."""
    for i in range(w.shape[0]):
        total = 0.0
        row = w[i]
        for j in range(w.shape[1]):
            total += row[j] * x[j]
        y[i] = total


@inner
def follow(w, filtered, error, x, share, gain):
    """Move filtered a share of the way to error·x, and w by gain times it."""
    for i in range(w.shape[0]):
        e, row, line = error[i], w[i], filtered[i]
        for j in range(w.shape[1]):
            line[j] += share * (e * x[j] - line[j])
            row[j] += gain * line[j]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def present(
    inputs,
    teaching,
    somas,
    interneurons,
    basal,
    top_down,
    from_interneurons,
    to_interneurons,
    filtered,
    gains,
    mixes,
    speeds,
    share,
    soft,
    steps,
    held,
    noise,
    work,
    square,
    outputs,
):
    """Show one pattern; somas, interneurons, all weights and filtered changes move.

    inputs (n_0,); teaching (n_N,), or (0,) without a teacher; somas a (n_k,) array a layer,
    interneurons one a hidden layer; basal … to_interneurons (units, inputs) arrays, filtered the
    same in a tuple of four; gains (4, N), learning rates times the step; mixes λ, λ_I, λ_N; speeds,
    steps over τ, τ_I, τ_N; share, the step over the filter's time; noise (steps, all membranes) or
    (0, ·); work, eight tuples of arrays to work in: three like somas, two like interneurons, three
    like the hidden somas. Adds to square (N − 1,) and outputs (n_N,) over the later half.
    """
    last = len(basal) - 1
    mix, mix_inter, mix_out = mixes
    speed, speed_inter, speed_out = speeds
    rates, errors, predictions, rates_inter, guesses, apical, lateral, expected = work
    for step in range(steps):
        for k in range(last + 1):
            rates_into(somas[k], soft, rates[k])
        for k in range(last):
            rates_into(interneurons[k], soft, rates_inter[k])
        for k in range(last + 1):
            product(basal[k], inputs if k == 0 else rates[k - 1], predictions[k])
        for k in range(last):
            product(to_interneurons[k], rates[k], guesses[k])
            product(top_down[k], rates[k + 1], expected[k])
            product(from_interneurons[k], rates_inter[k], lateral[k])
            for i in range(apical[k].shape[0]):
                apical[k][i] = expected[k][i] + lateral[k][i]
        if step >= steps // 2:
            for k in range(last):
                total = 0.0
                for v in apical[k]:
                    total += v * v
                square[k] += total / apical[k].shape[0]
            for i in range(outputs.shape[0]):
                outputs[i] += somas[last][i]
        # All errors first: membranes move at once, and weights with what they were.
        first = 0
        for k in range(last + 1):
            u, b = somas[k], predictions[k]
            for i in range(u.shape[0]):
                errors[k][i] = rates[k][i] - rate_of(b[i], soft)
        for k in range(last):
            inter, p = interneurons[k], guesses[k]
            for i in range(inter.shape[0]):
                pull = mix_inter * (somas[k + 1][i] - p[i])
                moved = speed_inter * (p[i] + pull - inter[i])
                guesses[k][i] = rates_inter[k][i] - rate_of(p[i], soft)
                inter[i] += moved
        for k in range(last + 1):
            u, b = somas[k], predictions[k]
            for i in range(u.shape[0]):
                if k < last:
                    u[i] += speed * (b[i] + mix * apical[k][i] - u[i])
                elif teaching.shape[0] == 0:
                    u[i] += speed_out * (b[i] - u[i])
                else:
                    u[i] += speed_out * (b[i] + mix_out * (teaching[i] - b[i]) - u[i])
                if noise.shape[0] > 0:
                    u[i] += noise[step, first + i]
            first += u.shape[0]
        for k in range(last):
            inter = interneurons[k]
            if noise.shape[0] > 0:
                for i in range(inter.shape[0]):
                    inter[i] += noise[step, first + i]
            first += inter.shape[0]
        open_gate = 1.0 if step >= held else 0.0
        for k in range(last + 1):
            for i in range(errors[k].shape[0]):
                errors[k][i] *= open_gate
            below = inputs if k == 0 else rates[k - 1]
            follow(basal[k], filtered[0][k], errors[k], below, share, gains[0, k])
        for k in range(last):
            for i in range(apical[k].shape[0]):
                e = rates[k][i] - rate_of(expected[k][i], soft)
                expected[k][i] = open_gate * e
                lateral[k][i] = -open_gate * apical[k][i]
            for i in range(guesses[k].shape[0]):
                guesses[k][i] *= open_gate
            follow(top_down[k], filtered[1][k], expected[k], rates[k + 1], share, gains[1, k])
            follow(
                from_interneurons[k], filtered[2][k], lateral[k], rates_inter[k], share, gains[2, k]
            )
            follow(to_interneurons[k], filtered[3][k], guesses[k], rates[k], share, gains[3, k])
