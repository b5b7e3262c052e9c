"""Compiled move of a layer of integrators; the oracle is `neurohw.engines.hopfield`."""

import numpy as np
from numba import njit

f32 = np.float32
FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(cache=True, fastmath=FAST, error_model="numpy")
def move(before, below, above, current, leak, step, low, high, after):
    """Write membranes, a share `step` of the way to rest, clipped; (samples, units) [V].

    below and above (samples, units) [A] flow in from the arrays, above may have no samples where
    there is none; current [A] of biases and leak [S] (units,); step 1 takes the whole way.
    """
    alone = above.shape[0] == 0
    inverse = step / leak
    stay = f32(1) - step
    for b in range(before.shape[0]):
        old, line, out = before[b], below[b], after[b]
        feed = line if alone else above[b]
        for i in range(old.shape[0]):
            arriving = line[i] + current[i] if alone else line[i] + feed[i] + current[i]
            # Comparisons, because `min` and `max` would turn a NaN into a limit.
            v = stay * old[i] + inverse[i] * arriving
            v = low if v < low else v
            out[i] = high if v > high else v
