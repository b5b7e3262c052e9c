"""Limits and their intervals: exact cases, coverage on synthetic data, and sensitivities."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import qmc

from neurohw.errors import ConfigurationError, NumericalError, StudyError
from neurohw.experiments.studies import limits, search, sensitivity, study
from neurohw.experiments.studies.axes import Grid, Sobol
from neurohw.experiments.studies.sweep import read, sweep
from neurohw.experiments.studies.table import designed
from neurohw.experiments.studies.tolerance import Found, axis_of, tolerance

DROP = 0.01


def test_the_band_is_the_t_interval_of_the_seeds():
    found = limits.band(np.array([2.0, 1.0]), np.array([[1.0, 3.0, np.nan], [0, 0, 0]]), 0.95)
    assert found.x.tolist() == [1.0, 2.0] and found.mean.tolist() == [0.0, 2.0]
    # Of two values a distance 2 apart: 12.706 · √2 / √2.
    np.testing.assert_allclose(found.high - found.mean, [0.0, 12.7062], rtol=1e-5)
    np.testing.assert_allclose(found.mean - found.low, [0.0, 12.7062], rtol=1e-5)


@pytest.mark.parametrize("power", [1, 2])
def test_the_limit_of_a_noiseless_power_law_is_where_it_crosses(power):
    x = np.geomspace(0.001, 1, 13)
    penalties = np.repeat(DROP * (x[:, None] / 0.05) ** power, 3, axis=1)
    found = limits.limit(limits.band(x, penalties, 0.95), DROP, logarithmic=True)
    # Between points a factor 1.8 apart the cubic is within 2 % of these.
    np.testing.assert_allclose([found.value, found.low, found.high], 0.05, rtol=0.02)


def test_where_less_is_worse_the_limit_is_the_least_value():
    x = np.arange(2.0, 9.0)
    penalties = np.repeat(0.64 * 2.0 ** -x[:, None], 2, axis=1)
    curve = limits.band(x, penalties, 0.95)
    found = limits.limit(curve, DROP, logarithmic=False, less_is_worse=True)
    assert found.value == pytest.approx(6.0, rel=1e-9)
    worst = limits.limit(curve, 1.0, logarithmic=False, less_is_worse=True)
    assert worst.value == -np.inf and not worst.found


@pytest.mark.parametrize("factor, value", [(0.05, np.inf), (1e4, 0.0)])
def test_a_range_that_is_too_short_is_said(factor, value):
    x = np.geomspace(0.01, 0.1, 4)
    found = limits.limit(
        limits.band(x, factor * np.repeat(x[:, None], 3, axis=1), 0.95), DROP, logarithmic=True
    )
    assert found.value == value and not found.found


class Synthetic:
    """Networks whose penalty is a power law of the noise, with errors that seeds share."""

    def __init__(self, rng, limit, power, deviation, seeds):
        self.rng, self.limit, self.power = rng, limit, power
        self.deviation, self.seeds = deviation, seeds
        self.shared = deviation * rng.standard_normal(seeds)

    def penalties(self, x):
        x = np.asarray(x)[:, None]
        mean = DROP * (x / self.limit) ** self.power
        own = self.deviation * (1 + mean / DROP) * self.rng.standard_normal((len(x), self.seeds))
        return mean + own + self.shared


def coverage(estimate, trials=100):
    """Return the share of trials whose interval holds the true limit."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(trials):
        truth = 10 ** rng.uniform(-2.2, -0.8)
        network = Synthetic(rng, truth, rng.uniform(0.7, 2.0), 0.0015, 5)
        found = estimate(network)
        inside += found.low <= truth <= found.high
    return inside / trials


def searched(network):
    one = search.Search(0.001, 1.0, DROP, 0.9, 12, logarithmic=True)
    while values := one.wanted():
        one.take(values, network.penalties(values))
    assert one.ended == "resolved"
    return one.limit


def swept(network):
    x = np.geomspace(0.001, 1, 10)
    return limits.limit(limits.band(x, network.penalties(x), 0.9), DROP, logarithmic=True)


# Of 100 trials the share of a 90 % interval has a deviation of 3 %; the cubic between points, the
# choice of points by what was seen, and putting in order may move it by some more.
@pytest.mark.parametrize("estimate", [searched, swept])
def test_intervals_hold_the_limit_as_often_as_they_say(estimate):
    assert 0.80 <= coverage(estimate) <= 0.99


def test_a_search_of_whole_numbers_ends_beside_its_neighbours():
    one = search.Search(2, 12, DROP, 0.95, 20, logarithmic=False, whole=True, less_is_worse=True)
    while values := one.wanted():
        one.take(values, np.repeat(2.0 ** -np.array(values)[:, None], 3, axis=1))
    assert one.ended == "resolved" and all(x == int(x) for x in one.tried)
    assert {6.0, 7.0} <= one.tried.keys() and 6 < one.limit.value < 7


def test_a_search_says_why_it_ended():
    flat = search.Search(0.001, 1.0, DROP, 0.95, 12, logarithmic=True)
    flat.take(values := flat.wanted(), np.zeros((len(values), 3)))
    assert flat.wanted() == [] and flat.ended == "outside"
    short = search.Search(0.001, 1.0, DROP, 0.95, 5, logarithmic=True)
    while values := short.wanted():
        short.take(values, np.repeat(np.array(values)[:, None], 3, axis=1))
    assert short.ended == "budget" and len(short.tried) == 5


def test_tolerance_finds_limits_the_weakest_link_and_the_joint_share(trainer, tmp_path):
    def error(experiment, epoch):
        device = experiment.chip.device
        return 0.1 + device.cycle_to_cycle + 4 * device.step_noise + 0.01 * experiment.training.seed

    trainer.error = error
    options = {"chip": "epiram", "epochs": 1, "seeds": 2, "out": tmp_path}
    keys = ["device.step_noise", "device.cycle_to_cycle=0.1 %..20 %"]
    found = tolerance("drn-digits", keys, **options)
    table = found.table()
    # EpiRAM has 2 % of cycle-to-cycle noise, and none of the other kind.
    assert table["key"].tolist() == ["device.cycle_to_cycle", "device.step_noise"]
    np.testing.assert_allclose(table["limit"], [0.01, 0.0025], rtol=0.02)
    np.testing.assert_allclose(table["margin"], [0.5, np.inf], rtol=0.02)
    assert found.ideal_error == pytest.approx(0.105)
    # Penalties add up, so together they hold at half of each limit.
    assert not found.joint.holds and found.joint.penalty == pytest.approx(0.02, rel=0.02)
    assert found.joint.share.value == pytest.approx(0.5, rel=0.02)
    assert found.runs == len(trainer.trained) == len(list((tmp_path / "jobs").iterdir()))
    again = tolerance("drn-digits", keys, **options, resume=True)
    assert len(trainer.trained) == found.runs
    np.testing.assert_array_equal(again.table()["limit"], table["limit"])


def test_no_limit_is_claimed_where_the_ideal_fails(trainer):
    def error(experiment, epoch):
        if experiment.training.seed == 1:
            raise NumericalError("NaN")
        return 0.1

    trainer.error = error
    with pytest.raises(StudyError, match="the ideal fails with seed 1: NaN"):
        tolerance("drn-digits", ["device.cycle_to_cycle"], chip="epiram", seeds=2)
    assert len(trainer.trained) == 2


def test_a_search_goes_on_when_what_failed_is_run_again(trainer, tmp_path):
    def error(experiment, epoch):
        if experiment.training.seed == 1:
            raise NumericalError("NaN")
        return 0.1

    find = partial(
        tolerance, "drn-digits", ["device.cycle_to_cycle"], chip="epiram", seeds=2, out=tmp_path
    )
    trainer.error = error
    with pytest.raises(StudyError, match="the ideal fails"):
        find()
    with pytest.raises(StudyError, match="the ideal fails"):
        find(resume=True)
    trainer.error = lambda experiment, epoch: 0.1 + experiment.chip.device.cycle_to_cycle
    assert find(retry=True).found[0].limit.value == pytest.approx(0.01, rel=0.02)
    with pytest.raises(StudyError, match="is not of a neurohw study but of a neurohw tolerance"):
        read(tmp_path)


def test_runs_that_fail_are_counted_and_nothing_is_tried_together_with_what_has_no_limit(trainer):
    def error(experiment, epoch):
        if experiment.chip.device.step_noise:
            raise NumericalError("NaN")
        return 0.1

    trainer.error = error
    keys = ["device.step_noise", "device.cycle_to_cycle"]
    found = tolerance("drn-digits", keys, chip="epiram", seeds=2)
    assert found.joint is None
    assert {one.axis.label: (one.failed, one.tolerated) for one in found.found} == {
        "device.step_noise": (8, False),
        "device.cycle_to_cycle": (0, True),
    }


def test_bits_that_are_tried_together_are_enough_each(trainer):
    def error(experiment, epoch):
        adc, dac = experiment.chip.converters.state_adc, experiment.chip.converters.input_dac
        return 0.1 + sum(0.6 * 2.0**-c.bits for c in (adc, dac) if c is not None and c.bits)

    trainer.error = error
    keys = ["converters.adc_bits", "converters.dac_bits"]
    found = tolerance("drn-digits", keys, chip="epiram", epochs=1, seeds=2)
    # 0.6 / 2^bits is 0.01 at 5.9: at 6 bits either is within the drop, both are not.
    for one in found.found:
        assert limits.words(one.limit, one.axis, 0.95) == "6"
    assert found.joint.penalty == pytest.approx(2 * 0.6 / 64) and not found.joint.holds


@pytest.mark.parametrize(
    "key, present, value, margin",
    [
        ("device.cycle_to_cycle", 0.02, 0.01, 0.5),
        ("device.cycle_to_cycle", 0.02, np.inf, np.inf),
        ("device.cycle_to_cycle", 0.02, 0.0, 0.0),
        ("converters.adc_bits", 8, 6.0, 8 / 6),
        ("converters.adc_bits", 8, -np.inf, np.inf),
        ("converters.adc_bits", 8, np.inf, 0.0),
    ],
)
def test_margins_outside_of_the_range(key, present, value, margin):
    limit, nothing = limits.Limit(value, value, value), limits.Band(*np.empty((4, 0)))
    assert Found(axis_of(key), limit, nothing, "outside", present).margin == margin


def test_keys_of_a_search_must_differ(trainer):
    with pytest.raises(ConfigurationError, match=r"tolerance: axes: .*names must differ"):
        tolerance("drn-digits", 2 * ["device.cycle_to_cycle"], chip="epiram")


@pytest.mark.parametrize(
    "text, message",
    [
        ("device.name", "has no numbers"),
        ("relaxation.free_sweeps", "give its range"),
        ("device.cycle_to_cycle=1", "give its range"),
        ("device.cycle_to_cycl", "did you mean"),
        ("device.stuck.yield", "harms when small; give its ideal"),
    ],
)
def test_keys_that_cannot_be_searched_are_refused(text, message):
    with pytest.raises(ConfigurationError, match=message):
        axis_of(text)


def test_keys_have_ranges_of_their_own():
    bits = axis_of("converters.adc_bits")
    assert bits.ends == (2, 12) and bits.scale == "linear" and bits.less_is_worse
    assert axis_of("device.cycle_to_cycle").ends == (0.001, 1.0)
    assert axis_of("device.g_min=1 nS..1 uS").ends == pytest.approx((1e-9, 1e-6))


def ishigami(points, design):
    """Return a study-like and its table, of a function whose Sobol indices are known."""
    x = np.pi * (2 * points - 1)
    y = np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
    names = ["a", "b", "c"]
    axes = [SimpleNamespace(label=name) for name in names]
    table = {"point": np.arange(len(y)), "test_error": y} | dict(zip(names, points.T, strict=True))
    table["status"] = np.full(len(y), "done", dtype="U9")
    return SimpleNamespace(axes=axes, design=design), table


def test_sensitivities_of_a_sample_and_of_a_grid_are_the_sobol_indices():
    # First-order indices of Ishigami's function with a = 7, b = 0.1.
    known = {"a": 0.3139, "b": 0.4424, "c": 0.0}
    sample = qmc.Sobol(3, rng=0).random_base2(10)
    middles = (np.arange(16) + 0.5) / 16
    grid = np.stack(np.meshgrid(middles, middles, middles), axis=-1).reshape(-1, 3)
    # Groups of 32 points add up to 1/32 each; the midpoint rule errs by far less.
    for points, design, near in ((sample, Sobol(points=1024), 0.04), (grid, Grid(), 0.01)):
        found = sensitivity.sensitivities(*ishigami(points, design))
        assert [one.axis for one in found] == ["b", "a", "c"]
        for one in found:
            assert one.index == pytest.approx(known[one.axis], abs=near)
        assert found[1].index > found[1].by_chance and found[2].index <= 0.04


def test_halving_leaves_no_sensitivities():
    one, table = ishigami(qmc.Sobol(3, rng=0).random_base2(5), Sobol(points=32))
    assert sensitivity.sensitivities(one, table)
    table["status"][3] = "paused"
    assert sensitivity.sensitivities(one, table) == []


def test_references_are_no_part_of_a_sample(trainer, table):
    table["design"] = {"kind": "sobol", "points": 4}
    table["axes"] = [
        {"kind": "range", "key": "device.cycle_to_cycle", "low": 0.01, "high": 0.1, "ideal": 0},
        {"kind": "list", "key": "nudging", "values": [0.5, 1.0]},
    ]
    found, whole = study.load(table), sweep(table)
    assert whole["point"].max() == 5
    assert sorted(set(designed(found, whole)["point"])) == [0, 1, 2, 3]


def test_the_limits_of_a_study_are_those_of_its_cases(trainer, table):
    table["axes"][0]["values"] = ["0.5 %", "1 %", "2 %", "4 %"]
    table["axes"] += [
        {
            "kind": "cases",
            "name": "batch",
            "cases": [
                {"name": "one", "settings": ["training.batch=1"]},
                {"name": "two", "settings": ["training.batch=2"]},
            ],
        }
    ]
    trainer.error = lambda e, _: 0.1 + e.training.batch * e.chip.device.cycle_to_cycle
    found = limits.tolerances(study.load(table), sweep(table))
    assert [one.others for one in found] == [(("batch", "one"),), (("batch", "two"),)]
    np.testing.assert_allclose([one.limit.value for one in found], [0.01, 0.005], rtol=1e-6)
    rows = limits.rows(study.load(table), found)
    assert rows[0] == ("device.cycle_to_cycle", "one", "1 %")


def test_failed_runs_count_as_wrong(trainer, table):
    def error(experiment, epoch):
        if experiment.chip.device.cycle_to_cycle == 0.1:
            raise NumericalError("NaN")
        return 0.1

    trainer.error = error
    (found,) = limits.tolerances(study.load(table), sweep(table))
    assert found.failed == 2
    np.testing.assert_allclose(found.band.mean, [0.0, 0.9])


def test_values_on_the_harmless_side_of_the_ideal_are_left_out(trainer, table):
    table["axes"][0] |= {"values": ["0.1 %", "1 %", "2 %", "4 %"], "ideal": "1 %"}
    trainer.error = lambda e, _: 0.1 + abs(e.chip.device.cycle_to_cycle - 0.01)
    (found,) = limits.tolerances(study.load(table), sweep(table))
    assert found.band.x.tolist() == [0.02, 0.04]
    assert found.limit.value == pytest.approx(0.02, rel=1e-6)


def test_an_axis_with_values_below_zero_is_linear():
    axis = axis_of("device.cycle_to_cycle")
    assert limits.logarithmic(axis, [0.01, 1.0])
    assert not limits.logarithmic(axis, [-0.5, 0.01, 1.0])


def test_a_curve_that_falls_again_is_said(trainer, table):
    table["axes"][0]["values"] = [0, "1 %", "2 %", "4 %"]
    trainer.error = lambda e, _: 0.1 + 0.05 * (e.chip.device.cycle_to_cycle == 0.01)
    found = limits.tolerances(study.load(table), sweep(table))
    assert limits.rows(study.load(table), found)[0][2].endswith(limits.FALLS)
    noisy = limits.band(np.arange(3.0), np.array([[0, 2.0], [0.5, 1.0], [1.0, 3.0]]), 0.95)
    assert limits.rises(noisy)


@pytest.mark.parametrize(("ordered", "ends"), [(True, (-0.3, 0.1)), (False, (0.1, -0.3))])
def test_a_curve_that_falls_is_drawn_in_order_or_as_measured(ordered, ends):
    x, mean = np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.0, -0.3])
    curve = limits.Band(x, mean, mean - 0.1, mean + 0.1)
    found = limits.smooth(curve, logarithmic=True, less_is_worse=False, ordered=ordered)
    assert (found.mean[0], found.mean[-1]) == pytest.approx(ends)
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all()
