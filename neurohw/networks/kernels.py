"""Compiled part of convolutions; the oracle is in their tests."""

from numba import njit


@njit(cache=True)
def scatter(patches, image):
    """Add patches to the places of an image that they were cut from, one step apart.

    patches (samples, rows, columns, kernel, run), run = kernel · channels values of neighbouring
    columns; image (samples, rows + kernel − 1, (columns + kernel − 1) · channels), written anew.
    """
    samples, rows, columns, kernel, run = patches.shape
    channels = run // kernel
    for b in range(samples):
        image[b] = 0
        for y in range(rows):
            for dy in range(kernel):
                for x in range(columns):
                    # Slices from 0, so that no index can count from the end: this vectorises.
                    patch = patches[b, y, x, dy]
                    line = image[b, y + dy, x * channels : x * channels + run]
                    for i in range(run):
                        line[i] += patch[i]
