"""Written and read back: the same cells bit for bit, or within half a level."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from neurohw.export import formats, writing
from neurohw.export.importing import take
from neurohw.export.mapping import weight_map

from .conftest import fresh

LOSSLESS = [name for name in formats.names() if formats.load(name).lossless]


def scramble(machine):
    """Move all cells, sources and amplifiers elsewhere."""
    rng = np.random.default_rng(1)
    biases = [bias for bias in machine.chip.biases if bias.crossbars]
    for crossbar in [*machine.chip.crossbars, *(c for b in biases for c in b.crossbars)]:
        somewhere = rng.uniform(1e-6, 2e-6, crossbar.values().shape)
        crossbar.take_over(somewhere, somewhere)
    for bias in machine.chip.biases:
        if not bias.crossbars:
            bias.restore({"current": bias.values + 1e-6})


def crossbars(machine, run):
    """Yield conductances of all crossbars as the machine has them, and as the run has."""
    for array, record in zip(machine.chip.arrays, run.arrays, strict=True):
        yield array.record(), record
    for bias, record in zip(machine.chip.biases, run.biases, strict=True):
        yield bias.record(), record


def test_formats_are_listed():
    assert set(LOSSLESS) >= {"csv", "hdf5", "npz", "numpy-header"}
    assert not formats.load("mem").lossless


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless(name, case, tmp_path):
    machine, run = case
    form, out, weights = formats.load(name), tmp_path / "map", weight_map(run)
    writing.write(form, weights, out)
    assert [path.name for path in tmp_path.iterdir()] == ["map"]
    scramble(machine)
    assert take(form.read(out), machine, weights) == 0
    for found, expected in crossbars(machine, run):
        for key, values in expected.items():
            if "conductance" in key or key in ("gains", "current"):
                assert_array_equal(found[key], values, err_msg=key)


@pytest.mark.parametrize("bits", [1, 7])
def test_quantised_within_half_a_level(bits, case, tmp_path):
    machine, run = case
    form, out, weights = formats.load("mem", [f"bits={bits}"]), tmp_path / "map", weight_map(run)
    writing.write(form, weights, out)
    scramble(machine)
    assert take(form.read(out), machine, weights) == 0
    for array, layer in zip(machine.chip.arrays, weights.layers, strict=False):
        held = array.every_crossbar if hasattr(array, "every_crossbar") else [array]
        wide = [c for c in layer.crossbars if not c.role.endswith("-narrow")]
        for crossbar, expected in zip(held, wide, strict=True):
            g = expected.conductance
            low, high = (limit for limit in expected.window)
            low = min(g.min(), low if np.isfinite(low) else np.inf)
            high = max(g.max(), high if np.isfinite(high) else -np.inf)
            half = 0.5 * (high - low) / (2**bits - 1)
            # The codes are exact; float32 rounds what is made of them.
            assert np.abs(crossbar.main_values() - g).max() <= half + 1e-6 * np.abs(g).max()


def drawn(seed):
    """Return recipe, chip and settings of any shape, scheme, tiling, yield and repair."""
    rng = np.random.default_rng(seed)

    def pick(*choices):
        return choices[rng.integers(len(choices))]

    recipe = pick("drn-digits", "mlp-1h", "ep-1h")
    settings = [
        "data.name=digits",
        "data.train=40",
        f"network.hidden=[{rng.integers(1, 41)}]",
        f"chip.mapping.tile={pick(0, *rng.integers(1, 70, 3))}",
        f"chip.mapping.spare_word_lines={rng.integers(0, 4)}",
        f"chip.mapping.spare_bit_lines={rng.integers(0, 4)}",
        f"chip.device.stuck.yield={pick(1.0, 0.99, 0.8)}",
        f"training.precision={pick('float32', 'float64')}",
    ]
    if recipe != "drn-digits":
        settings += [
            f"chip.mapping.scheme={pick('differential-pair', 'offset', 'bit-sliced')}",
            f"chip.mapping.reference={pick('fixed', 'column')}",
            f"chip.mapping.slices={pick(2, 3)}",
        ]
    return recipe, "epiram", settings


@pytest.mark.parametrize("seed", range(8))
def test_any_network_on_any_tiling(seed, tmp_path):
    machine, run = fresh(*drawn(seed), seed=seed)
    weights = weight_map(run)
    for name, levels in (("hdf5", 0), ("mem", 255)):
        form, out = formats.load(name), tmp_path / name
        writing.write(form, weights, out)
        scramble(machine)
        assert take(form.read(out), machine, weights) == 0
        read = weight_map(replace(run, arrays=[array.record() for array in machine.chip.arrays]))
        for found, expected in zip(read.crossbars, weights.crossbars, strict=True):
            worst = np.abs(found.conductance - expected.conductance).max(initial=0.0)
            top = max(expected.conductance.max(), expected.window[1])
            # No more than the range from 0 is divided into levels; float32 rounds the values.
            assert worst <= (0.5 / levels + 1e-6) * top if levels else worst == 0
