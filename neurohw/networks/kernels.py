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
                line = image[b, y + dy]
                for x in range(columns):
                    patch, first = patches[b, y, x, dy], x * channels
                    for i in range(run):
                        line[first + i] += patch[i]
