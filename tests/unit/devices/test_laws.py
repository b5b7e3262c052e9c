import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from neurohw.devices import law, memory, programming
from neurohw.devices.fabrication import fabricate
from neurohw.devices.laws.label import curvature
from neurohw.devices.programming import first_write
from neurohw.update import Update

NAMES = [row["name"] for row in memory.available() if row["law"] == "exponential"]

# Normalised conductance at half the pulses, up and down. NeuroSim MLP manual V3.0.
AT_HALF = {
    "ag-a-si": (0.7314, 0.0761),
    "pcmo": (0.8407, 0.0068),
    "epiram": (0.5494, 0.4506),
    "hzo-fefet": (0.6709, 0.6432),
}


def device(name="epiram", **changes):
    return msgspec.structs.replace(memory.load(name), **changes)


def cells_of(device, shape=(1, 1), *, seed=0, array=0, width=1.0):
    return fabricate(device, *shape, width=width, seed=seed, array=array)


def moved(cells, conductance, pulses):
    """Return where pulses lead, without noise."""
    return law.moved(cells.law, cells.low, cells.high, conductance, pulses)[0]


def span(device):
    return device.g_max - device.g_min


def label_curve(device, label, pulses, all_pulses):
    """Return NeuroSim's first formula, G(P) = B(1 − e^(−P/A)) + G_min, A signed."""
    a = all_pulses / curvature(label)
    b = span(device) / -np.expm1(-all_pulses / a)
    return b * -np.expm1(-pulses / a) + device.g_min


def uniform_update(change, units, inputs):
    """Return an update that wants the same change of every cell [S]."""
    return Update(
        presynaptic=np.ones((1, 1, inputs)), postsynaptic=np.full((1, 1, units), float(change))
    )


@pytest.mark.parametrize("name", NAMES)
def test_pulses_walk_along_the_label_curves(name):
    ours = device(name)
    cells = cells_of(ours)
    up, down = np.arange(ours.pulses_up + 1), np.arange(ours.pulses_down + 1)
    rising = moved(cells, np.full((1, up.size), ours.g_min), up[None])[0]
    falling = moved(cells, np.full((1, down.size), ours.g_max), -down[None])[0]
    curve_up = label_curve(ours, ours.nonlinearity_up, up, ours.pulses_up)
    curve_down = label_curve(ours, ours.nonlinearity_down, down, ours.pulses_down)
    assert_allclose(rising, curve_up, rtol=1e-9)
    assert_allclose(falling, curve_down[::-1], rtol=1e-9)
    assert_allclose([rising[0], rising[-1]], [ours.g_min, ours.g_max], rtol=1e-9)
    assert_allclose([falling[0], falling[-1]], [ours.g_max, ours.g_min], rtol=1e-9)
    assert np.all(np.diff(rising) > 0)
    assert np.all(np.diff(falling) < 0)


@pytest.mark.parametrize("name", AT_HALF)
def test_conductance_at_half_the_pulses_is_the_published_one(name):
    ours = device(name)
    cells = cells_of(ours)
    up = moved(cells, np.full((1, 1), ours.g_min), np.full((1, 1), ours.pulses_up / 2))
    down = moved(cells, np.full((1, 1), ours.g_max), np.full((1, 1), -ours.pulses_down / 2))
    found = (np.array([up.item(), down.item()]) - ours.g_min) / span(ours)
    assert_allclose(found, AT_HALF[name], rtol=2e-4, atol=5e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_train_equals_its_pulses(name, sign):
    ours = device(name)
    cells = cells_of(ours)
    start = np.linspace(ours.g_min, ours.g_max, 7)[None]
    one_by_one = start
    for _ in range(5):
        one_by_one = moved(cells, one_by_one, np.full(start.shape, sign))
    assert_allclose(moved(cells, start, np.full(start.shape, 5 * sign)), one_by_one, rtol=1e-10)


def test_up_then_down_comes_back_where_both_directions_share_a_curve():
    symmetric = device(nonlinearity_up=2.0, nonlinearity_down=2.0)
    start = np.linspace(symmetric.g_min, symmetric.g_max, 9)[None]
    there = moved(cells_of(symmetric), start, np.full(start.shape, 7))
    assert_allclose(moved(cells_of(symmetric), there, np.full(start.shape, -7)), start, rtol=1e-10)
    assert np.all(np.abs(there - start) > 1e-3 * span(symmetric))


def test_a_negative_label_falls_steeply_from_the_top():
    ours = device(nonlinearity_up=2.0, nonlinearity_down=-2.0)
    top, bottom = np.full((1, 1), ours.g_max), np.full((1, 1), ours.g_min)
    cells, pulse = cells_of(ours), np.ones((1, 1))
    fall_at_top = (top - moved(cells, top, -pulse)).item()
    rise_at_bottom = (moved(cells, bottom, pulse) - bottom).item()
    even = span(ours) / ours.pulses_down
    assert_allclose(fall_at_top, rise_at_bottom, rtol=1e-9)
    assert fall_at_top > 1.5 * even
    middle = moved(cells, bottom, 32 * pulse)
    back = moved(cells, moved(cells, middle, pulse), -pulse)
    assert (middle - back).item() > 0.1 * even


def test_straight_law():
    straight = device(nonlinearity_up=0.0, nonlinearity_down=0.0, pulses_down=16)
    cells = cells_of(straight)
    assert cells.law.family == "straight"
    start = np.full((1, 2), straight.g_min + 0.5 * span(straight))
    end = moved(cells, start, np.array([[8.0, -4.0]]))
    assert_allclose(end - start, span(straight) * np.array([[8 / 64, -4 / 16]]), rtol=1e-9)


def test_small_labels_approach_the_straight_law():
    """The label is 10.1 times the greatest gap to the line, so gaps shrink in proportion."""
    start = np.linspace(0.0, 1.0, 33)[None]
    pulses = np.full(start.shape, 32.0)
    gaps = []
    for label in (0.04, 0.02):
        bent = device(nonlinearity_up=label, g_min=0.0, g_max=1.0)
        held = np.minimum(moved(cells_of(bent), np.zeros((1, 1)), np.full((1, 1), 32.0)), 1)
        gaps.append((held - 0.5).item())
    assert_allclose(gaps, [0.04 / 10.1015, 0.02 / 10.1015], rtol=1e-2)
    spread = cells_of(device(nonlinearity_up=0.0, nonlinearity_spread=1e-9), start.shape)
    assert spread.law.family == "affine"
    low = spread.low[0, 0]
    line = low + span(device()) * 0.5
    assert_allclose(moved(spread, np.full(start.shape, low), pulses), line, rtol=3e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sign", [1, -1])
def test_cells_stay_within_their_limits(name, sign):
    ours = device(name, range_spread=0.05)
    cells = cells_of(ours, (5, 8))
    start = first_write(cells, np.full((5, 8), (ours.g_min + ours.g_max) / 2))
    for step in (0.3, 3.0):
        end, count = programming.program(
            cells, start, uniform_update(sign * step * span(ours), 5, 8), 0
        )
        assert np.all((end >= cells.low) & (end <= cells.high))
    assert_array_equal(count, ours.pulses_up if sign > 0 else ours.pulses_down)
    quiet = cells_of(device(name, range_spread=0.05, cycle_to_cycle=0.0), (5, 8))
    end, _ = programming.program(quiet, start, uniform_update(sign * 3 * span(ours), 5, 8), 0)
    assert_allclose(end, cells.high if sign > 0 else cells.low, rtol=1e-9)


@pytest.mark.parametrize("pulses", [1, 4, 16])
@pytest.mark.parametrize("sign", [1, -1])
def test_noise_grows_with_the_root_of_the_pulses(pulses, sign):
    noisy, quiet = (device(cycle_to_cycle=noise) for noise in (0.02, 0.0))
    shape = (100, 300)
    start = np.full(shape, noisy.g_min + 0.5 * span(noisy))
    update = uniform_update(sign * pulses / 64 * span(noisy), *shape)
    end, count = programming.program(cells_of(noisy, shape), start, update, 0)
    without, same_count = programming.program(cells_of(quiet, shape), start, update, 0)
    assert_array_equal(count, same_count)
    exact = count == pulses
    assert exact.mean() > 0.99
    noise = (end - without)[exact] / span(noisy)
    expected = 0.02 * np.sqrt(pulses)
    assert_allclose(noise.std(), expected, rtol=4 / np.sqrt(2 * noise.size))
    assert abs(noise.mean()) < 4 * expected / np.sqrt(noise.size)
    assert stats.kstest(noise / expected, "norm").pvalue > 1e-3


def test_noise_differs_between_events_arrays_and_seeds_but_not_between_calls():
    shape = (4, 50)
    noisy = device()
    start = np.full(shape, noisy.g_min + 0.5 * span(noisy))
    update = uniform_update(4 / 64 * span(noisy), *shape)

    def end(event=0, **options):
        return programming.program(cells_of(noisy, shape, **options), start, update, event)[0]

    assert_array_equal(end(), end())
    for other in (end(event=1), end(array=1), end(seed=1)):
        assert np.mean(other != end()) > 0.99
        assert abs(np.corrcoef(other.ravel(), end().ravel())[0, 1]) < 4 / np.sqrt(200)


@pytest.mark.parametrize("wanted", [0.3, -0.3, 2.7, -5.25, 0.01])
def test_stochastic_rounding_is_unbiased(wanted):
    shape = (100, 400)
    ours = device(pulses_down=32, cycle_to_cycle=0.0)
    cells = cells_of(ours, shape)
    step = cells.law.step_up if wanted > 0 else cells.law.step_down
    start = np.full(shape, ours.g_min + 0.5 * span(ours))
    update = uniform_update(wanted * step, *shape)
    end, count = programming.program(cells, start, update, 0)
    share = abs(wanted) % 1
    error = np.sqrt(share * (1 - share) / count.size)
    assert abs(count.mean() - abs(wanted)) < 4 * error
    assert set(np.unique(count)) == {np.floor(abs(wanted)), np.ceil(abs(wanted))}
    assert_allclose(end, moved(cells, start, np.sign(wanted) * count), rtol=1e-12)


def test_analog_increments_are_fractions_of_pulses():
    ours = device(whole_pulses=False, cycle_to_cycle=0.0)
    cells = cells_of(ours, (2, 3))
    start = np.full((2, 3), ours.g_min + 0.5 * span(ours))
    update = uniform_update(0.3 / 64 * span(ours), 2, 3)
    end, count = programming.program(cells, start, update, 0)
    assert_allclose(count, 0.3, rtol=1e-9)
    assert_allclose(end, moved(cells, start, np.full((2, 3), 0.3)), rtol=1e-12)


def test_an_update_acts_event_by_event():
    ours = device(whole_pulses=False, cycle_to_cycle=0.0)
    cells, rng = cells_of(ours, (3, 4)), np.random.default_rng(0)
    start = ours.g_min + span(ours) * rng.uniform(size=(3, 4))
    x, a = rng.normal(size=(2, 5, 4)), 0.02 * span(ours) * rng.normal(size=(2, 5, 3))
    row, column = 0.02 * span(ours) * rng.normal(size=(2, 4)), np.zeros((2, 3))
    decay = rng.uniform(0.01, 0.1, size=(2, 3))
    update = Update(presynaptic=x, postsynaptic=a, row=row, column=column, decay=decay)
    found, _ = programming.program(cells, start, update, 0)
    g = start
    for event in range(2):
        wanted = np.empty((3, 4))
        for j in range(3):
            for i in range(4):
                product = sum(x[event, r, i] * a[event, r, j] for r in range(5))
                wanted[j, i] = product + row[event, i] - decay[event, j] * g[j, i]
        g = np.clip(moved(cells, g, wanted * 64 / span(ours)), ours.g_min, ours.g_max)
    assert_allclose(found, g, rtol=1e-10)


def label_of(curvatures):
    """Return the label whose curvature this is, by its definition."""
    a, b = 1 / np.abs(curvatures), -1 / np.expm1(-np.abs(curvatures))
    return np.copysign(10.10152545 * (b - a - a * np.log(b / a)), curvatures)


def test_device_to_device_spread():
    shape, size = (100, 200), 20_000
    ours = device("ag-a-si", nonlinearity_spread=0.2, range_spread=0.03)
    cells = cells_of(ours, shape)
    drawn = {
        "g_min": (cells.low / ours.g_min - 1, 0.03, 0.0),
        "g_max": (cells.high / ours.g_max - 1, 0.03, 0.0),
        "up": (label_of(ours.pulses_up * cells.law.up[1]), 0.2, ours.nonlinearity_up),
        "down": (label_of(-ours.pulses_down * cells.law.down[1]), 0.2, ours.nonlinearity_down),
    }
    for values, deviation, mean in drawn.values():
        assert values.shape == shape
        assert_allclose(values.std(), deviation, rtol=4 / np.sqrt(2 * size))
        assert abs(values.mean() - mean) < 4 * deviation / np.sqrt(size) + 1e-5
    together = np.corrcoef([values.ravel() for values, _, _ in drawn.values()])
    assert np.abs(together[np.triu_indices(4, 1)]).max() < 4 / np.sqrt(size)
    other = cells_of(ours, shape, array=1)
    assert abs(np.corrcoef(other.low.ravel(), cells.low.ravel())[0, 1]) < 4 / np.sqrt(size)


def test_width_scales_limits_and_noise():
    narrow, wide = cells_of(device()), cells_of(device(), width=2.5)
    for name in ("low", "high"):
        assert_allclose(getattr(wide, name), 2.5 * getattr(narrow, name), rtol=1e-12)
    for name in ("sigma", "step_up", "step_down"):
        assert_allclose(getattr(wide.law, name), 2.5 * getattr(narrow.law, name), rtol=1e-12)
    assert_allclose(wide.law.up[0], 2.5 * narrow.law.up[0], rtol=1e-12)
    assert_array_equal(wide.law.up[1], narrow.law.up[1])


def test_ideal_cells_are_all_alike():
    ideal = device("ideal", g_min=1e-6)
    cells = cells_of(ideal, (3, 4))
    assert cells.low.shape == cells.high.shape == (1, 1)
    end, count = programming.program(cells, np.full((3, 4), 2e-6), uniform_update(-0.5e-6, 3, 4), 0)
    assert_allclose(end, 1.5e-6, rtol=1e-12)
    assert_array_equal(count, 0)


@pytest.mark.parametrize("name", NAMES)
def test_first_write_lands_on_the_nearest_level(name):
    ours = device(name)
    cells = cells_of(ours, (20, 30))
    rng = np.random.default_rng(0)
    wanted = ours.g_min + span(ours) * rng.uniform(-0.2, 1.2, (20, 30))
    written = first_write(cells, wanted)
    levels = label_curve(ours, ours.nonlinearity_up, np.arange(ours.pulses_up + 1), ours.pulses_up)
    nearest = np.abs(written[..., None] - levels).argmin(axis=-1)
    assert_allclose(written, levels[nearest], rtol=1e-9)
    assert len(np.unique(nearest)) > 25
    # Nearest by pulses, which on a curve is within a twentieth of a gap of nearest by value.
    held = np.clip(wanted, ours.g_min, ours.g_max)
    gaps = np.diff(levels)
    gap = np.maximum(gaps[np.maximum(nearest - 1, 0)], gaps[np.minimum(nearest, gaps.size - 1)])
    assert np.all(np.abs(written - held) <= 0.55 * gap)


def test_first_write_on_the_steepest_curve():
    steep = device(nonlinearity_up=9.0)
    ends = first_write(cells_of(steep, (1, 2)), np.array([[steep.g_min, steep.g_max]]))
    assert_allclose(ends, [[steep.g_min, steep.g_max]], rtol=1e-9)


@pytest.mark.parametrize("name", [*NAMES, "reram-sb", "reram-es", "gokmen-vlasov", "taox-hfox"])
def test_a_rewrite_takes_a_reset_and_the_pulses_that_lead_from_there(name):
    ours = device(name)
    alike = [key for key in ours.__struct_fields__ if key.endswith("_spread")]
    ours = msgspec.structs.replace(ours, **dict.fromkeys(alike, 0.0))
    cells = cells_of(ours, (1, 40))
    wanted = ours.g_min + span(ours) * np.linspace(0, 0.9, 40)[None]
    written = first_write(cells, wanted)
    pulses = programming.rewriting_pulses(cells, written)
    assert np.all(pulses[written == cells.low] == 1)
    g, one = np.broadcast_to(cells.low, written.shape).copy(), np.ones(written.shape)
    nominal = cells.law.step_up
    for pulse in range(1, int(pulses.max())):
        due = pulse < pulses
        before, g = g, np.where(due, np.clip(moved(cells, g, one), cells.low, cells.high), g)
        assert np.all((g - before)[due] > 0.009 * nominal)
    # Where a curve flattens out pulses that do next to nothing are not counted.
    open_end = moved(cells, g, one) - g < 0.011 * nominal
    assert_allclose(g[~open_end], written[~open_end], rtol=0, atol=0.01 * nominal)
    assert open_end.mean() < 0.5


def test_a_rewrite_to_a_limit_that_is_never_reached_ends():
    steep = device(nonlinearity_up=9.0)
    cells = cells_of(steep, (1, 2))
    low, high = programming.rewriting_pulses(cells, np.array([[steep.g_min, steep.g_max]]))[0]
    assert low == 1
    assert 1 < high < 1 + steep.pulses_up


def test_a_reset_of_one_sided_cells_ends_above_their_limit():
    ours = memory.load("pcm")
    cells = cells_of(ours, (3, 4))
    left = first_write(cells, np.full((3, 4), ours.g_min), 5)
    assert np.any(left > cells.low)
    assert_array_equal(programming.rewriting_pulses(cells, left, 5), 1)


def test_first_write_of_analog_and_ideal_cells_is_exact():
    wanted = np.array([[-1e-6, 1e-6, 3.3e-6, 1.0]])
    analog = device(whole_pulses=False)
    held = first_write(cells_of(analog, (1, 4)), wanted)
    assert_array_equal(held, np.clip(wanted, analog.g_min, analog.g_max))
    assert_array_equal(first_write(cells_of(device("ideal"), (1, 4)), wanted), wanted.clip(0))
