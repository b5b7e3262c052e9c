"""Update schemes, read disturb and rewriting of signed arrays."""

import shutil

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import FeedforwardChip, HopfieldChip, SignedChip
from neurohw.devices.laws import ConstantStep, SoftBounds
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.experiments import configuration, run_file, trainer
from neurohw.learning.backpropagation import Backpropagation
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.mappings import chip_specification
from neurohw.mappings.signed_scale import memory
from neurohw.networks.feedforward import FeedforwardNetwork
from neurohw.update import Update

UNITS, INPUTS = 8, 10
RANGE = {"g_min": 1e-6, "g_max": 21e-6}
SPAN = 20e-6
EVEN = ConstantStep(**RANGE, step=0.01)
LAME = SoftBounds(**RANGE, step=0.01, centre=0.4, up_down=0.3)
SAMPLES = {"programming": {"events": "sample"}, "bias": {"kind": "rails"}}


def specify(device=EVEN, *, mapping=None, **programming):
    return chip_specification.ChipSpecification(
        device=device,
        mapping=chip_specification.Mapping(**(mapping or {})),
        programming=chip_specification.Programming(**programming),
    )


def array_of(device=EVEN, *, weights=None, mapping=None, **programming):
    """Return an array with weights of 0, or others in ranges of a cell, in single precision."""
    chip = specify(device, mapping=mapping, **programming)
    held = np.zeros((UNITS, INPUTS)) if weights is None else np.asarray(weights)
    return SignedChip(chip, [held], seed=3, dtype="float32").arrays[0]


def drawn(rng, size, events=1, rank=1):
    """Return an update of random lines, largest product `size` [S]."""
    x, d = rng.uniform(-1, 1, (events, rank, INPUTS)), rng.uniform(-1, 1, (events, rank, UNITS))
    return Update(presynaptic=x.astype("f4"), postsynaptic=(size * d).astype("f4"))


@pytest.mark.parametrize("scheme", ["differential-pair", "offset"])
def test_the_mean_change_of_trains_sample_by_sample_is_the_sum_of_products(scheme):
    device = msgspec.structs.replace(EVEN, step=1e-4, up_down=0.25)
    array = array_of(device, mapping={"scheme": scheme}, events="sample", pulses="train")
    law, samples, before = array.crossbars[0].cells.law, 2000, array.values()
    x, d = np.linspace(-1, 0.8, INPUTS), np.linspace(-0.5, 1, UNITS) * 0.7 * law.step_down
    ranks = [np.tile(v.astype("f4"), (samples, 1))[None] for v in (x, d)]
    update = Update(presynaptic=ranks[0], postsynaptic=ranks[1]).by_sample(samples)
    array.program(update, 0)
    wanted = samples * np.outer(d, x)
    # One slot a train: a cell takes a pulse or none, at most one a sample and cell of a pair.
    step = max(law.step_up, law.step_down)
    error = np.sqrt(np.abs(wanted) * step)
    missed = np.abs(array.values() - before - wanted)
    assert np.all(missed <= 4.5 * error + 1e-5 * SPAN)
    assert np.abs(wanted).max() > 20 * error.max()


@pytest.mark.parametrize(("scheme", "share"), [("differential-pair", 1.0), ("offset", 1.25)])
def test_pairs_cancel_what_one_step_for_both_polarities_errs_by(scheme, share):
    device = msgspec.structs.replace(EVEN, up_down=0.4, whole_pulses=False)
    array = array_of(device, mapping={"scheme": scheme}, polarities="alike")
    before, size = array.values(), 0.02 * SPAN
    ones = np.ones((1, 1, INPUTS), "f4"), np.full((1, 1, UNITS), size, "f4")
    array.program(Update(presynaptic=ones[0], postsynaptic=ones[1]), 0)
    assert_allclose(array.values() - before, share * size, rtol=1e-3)


SCHEMES = {
    "count": {},
    "nearest": {"rounding": "nearest"},
    "sign": {"pulses": "sign", "threshold": 0.2},
    "train": {"pulses": "train"},
    "trains in sequence": {"pulses": "train", "order": "sequential"},
    "write-verify": {"pulses": "write-verify", "verify_tolerance": 0.004},
    "adam": {"optimizer": "adam", "adam_step": 0.03, "accumulate": "digital"},
    "half-selected": {"half_select": 0.01},
    "tiki-taka": {
        **{"accumulate": "analog", "transfer_every": 2, "transfer_lines": 8},
        "transfer_rate": 0.5,
    },
    "carry": {"accumulate": "carry", "carry_every": 3},
}


@pytest.mark.parametrize("name", SCHEMES)
def test_samples_are_programmed_one_after_the_other(name):
    """With any scheme a mini-batch of samples is as many updates of one."""
    device = msgspec.structs.replace(LAME, step_noise=0.3)
    one, other = (array_of(device, events="sample", **SCHEMES[name]) for _ in range(2))
    update, before = drawn(np.random.default_rng(8), 0.05 * SPAN, events=4, rank=2), one.values()
    one.program(update, 0)
    for k in range(4):
        x, d = update.presynaptic[k : k + 1], update.postsynaptic[k : k + 1]
        other.program(Update(presynaptic=x, postsynaptic=d), k)
    assert_array_equal(one.values(), other.values())
    assert np.mean(one.values() != before) > 0.5


@pytest.mark.parametrize("kind", ["feedforward", "hopfield"])
def test_events_of_samples_add_up_to_the_mini_batch(kind, make_hopfield):
    """Of arrays and of biases, one event a sample, as many terms in each."""
    rng = np.random.default_rng(1)
    found = []
    for table in ({"bias": {"kind": "rails"}}, SAMPLES):
        chip = chip_specification.load({"device": "ideal"} | table)
        if kind == "feedforward":
            rng = np.random.default_rng(1)
            network = FeedforwardNetwork(
                sizes=(5, 4, 3), hidden="tanh", output="softmax", cost="cross-entropy"
            )
            weights = [rng.uniform(-1, 1, (4, 5)), rng.uniform(-1, 1, (3, 4))]
            built = FeedforwardChip(chip, network, weights, seed=0, dtype="float64")
            rule = Backpropagation(network, built)
            inputs, targets = 0.2 * rng.uniform(size=(6, 5)), np.eye(3)[rng.integers(3, size=6)]
            activity = rule.forward(built.arrays[0].read(inputs), 0, inputs)
            errors = rule.errors(activity, targets, 0)
            found.append(rule.updates(inputs, activity, errors, [1.0, 2.0], [1.0, 3.0]))
            terms = (1, 1)
        else:
            problem = make_hopfield((4,), batch=6)
            weights = [g / problem.leak[0][0] for g in problem.conductances]
            built = HopfieldChip(chip, problem.network, weights, seed=0, dtype="float64")
            phases = {"variant": "centered", "nudging": 0.1, "free_sweeps": 30, "nudged_sweeps": 30}
            rule = HopfieldPropagation(problem.network, HopfieldEngine(), built, **phases)
            current = built.arrays[0].read(problem.inputs)
            contrast = rule.contrast(current, problem.target, None, 0)
            found.append(rule.updates(contrast, problem.inputs, [1.0, 2.0], [1.0, 3.0]))
            terms = (1, 2)
    for k in range(2):
        for aggregated, split in zip(*(part[k] for part in found), strict=True):
            whole, x = aggregated.dense(0.0, 0), split.presynaptic
            total = np.einsum("eri,eru->ui", x, split.postsynaptic)
            assert len(x) == 6
            assert_allclose(total, whole, rtol=1e-12, atol=1e-13 * np.abs(whole).max())
    assert tuple(update.presynaptic.shape[1] for update in found[1][0]) == terms


def learned(**programming):
    """Return the error of weights that learn a linear map from noisy targets, in ranges."""
    rng = np.random.default_rng(7)
    # Unlike symmetry points of both sides, or the pair would be drawn to 0 as a whole.
    device = msgspec.structs.replace(LAME, low_spread=0.2, high_spread=0.2)
    array = array_of(device, **programming)
    wanted, tail = SPAN * rng.uniform(-0.3, 0.3, (UNITS, INPUTS)), []
    for event in range(800):
        x = rng.choice([-1.0, 1.0], size=(1, INPUTS)).astype("f4")
        error = x @ (wanted - array.values()).T + 0.5 * SPAN * rng.normal(size=(1, UNITS))
        update = Update(presynaptic=x[None], postsynaptic=(0.02 * error).astype("f4")[None])
        array.program(update, event)
        if event >= 400:
            tail.append(array.values())
    return np.sqrt(np.mean((np.mean(tail, axis=0) - wanted) ** 2)) / SPAN


def test_a_fast_pair_learns_where_asymmetry_pulls_plain_updates_away():
    plain = learned()
    transferred = learned(accumulate="analog", transfer_rate=0.1)
    assert plain > 0.045
    assert transferred < 0.6 * plain


def test_a_fast_pair_halves_the_errors_of_a_perceptron_of_asymmetric_cells():
    """Over seeds 0 to 2 plain updates end at 24 to 28 %, transferred ones at 10 to 13 %."""
    settings = (
        *("data.name=digits", "network.hidden=[32]", "network.initial_range=0.5"),
        *("training.batch=8", "chip.bias.kind=off", "chip.device.asymmetry_spread=30 %"),
        "chip.programming.order=sequential",
    )
    analog = ("accumulate=analog", "transfer_lines=8", "transfer_rate=0.1", "fast_rate=2")
    fast = tuple(f"chip.programming.{key}" for key in analog)
    plain, transferred = (
        trainer.train(
            configuration.load("mlp-1h", chip="reram-sb", settings=settings + more, epochs=3)
        ).history["train_error"][-1]
        for more in ((), fast)
    )
    assert plain > 0.2
    assert transferred < 0.65 * plain


@pytest.mark.parametrize("scheme", ["differential-pair", "offset"])
def test_narrow_cells_carry_what_adds_up(scheme):
    device = msgspec.structs.replace(EVEN, step=1 / 64)
    mapping = {"scheme": scheme, "reference": "column"}
    rng = np.random.default_rng(2)
    start = rng.uniform(-0.3, 0.3, (UNITS, INPUTS))
    array = array_of(device, weights=start, mapping=mapping, accumulate="carry", carry_every=10)
    before = array.values()
    # Cells are written to the nearest step of the wide ones.
    unit = array.scheme.largest
    assert_allclose(before, start * unit, rtol=0, atol=1.01 * SPAN / 64)
    small = array.crossbars[0].scheme._fast.cells.law.step_up
    update = Update(
        presynaptic=np.ones((1, 1, INPUTS), "f4"),
        postsynaptic=np.full((1, 1, UNITS), small, "f4"),
    )
    for event in range(200):
        array.program(update, event)
    share = array.scheme.shares[0]
    # Stochastic rounding of halves deviates by 7 steps in 200, in each of two cells.
    deviation = 4.5 * (small * np.sqrt(2 * 200 * 0.25) if share < 1 else 1e-3 * small)
    assert_allclose(array.values() - before, 200 * small, rtol=0, atol=deviation + small)
    assert array.record()["main_pulses_0"].min() >= 7 * share


PROGRAMMINGS = {
    "train, tiki-taka": {"accumulate": "analog", "pulses": "train", "transfer_every": 3},
    "carry": {"accumulate": "carry", "carry_every": 4},
    "digital": {"accumulate": "digital"},
}


@pytest.mark.parametrize("name", PROGRAMMINGS)
@pytest.mark.parametrize("mapping", [{}, {"scheme": "offset", "reference": "column"}], ids=str)
def test_a_restored_array_goes_on_with_the_same_bits(name, mapping):
    rng = np.random.default_rng(4)
    device = msgspec.structs.replace(LAME, step_noise=0.3, step_spread=0.2, write_noise=0.01)
    mapping, programming = {**mapping, "refresh": 4}, {**PROGRAMMINGS[name], "events": "sample"}
    weights = rng.uniform(-0.97, 0.97, (UNITS, INPUTS))
    one = array_of(device, weights=weights, mapping=mapping, **programming)
    other = array_of(device, mapping=mapping, **programming)
    updates = [drawn(rng, 0.05 * SPAN, events=3, rank=2) for _ in range(4)]
    for k, update in enumerate(updates[:2]):
        one.program(update, 3 * k)
    other.restore({key: value.copy() for key, value in one.record().items()})
    for k, update in enumerate(updates[2:], start=2):
        x = rng.normal(size=(2, INPUTS)).astype("f4")
        assert_array_equal(*(array.program(update, 3 * k, x) for array in (one, other)))
    record = one.record()
    for key, value in other.record().items():
        assert_array_equal(value, record[key], err_msg=key)
    if "digital" not in name:
        assert record["fast_pulses"].max() > 0


def test_a_refresh_keeps_what_waits_and_counts_its_pulses():
    rng = np.random.default_rng(5)
    weights = np.zeros((UNITS, INPUTS))
    weights[:2] = 0.99
    for accumulate, waits in (("digital", "accumulated"), ("analog", "fast_conductance")):
        array = array_of(weights=weights, accumulate=accumulate, transfer_rate=0.0)
        array.program(drawn(rng, 0.008 * SPAN), 0)
        before, values = array.record(), array.values()
        array._rewrite(1)
        after = array.record()
        assert_allclose(array.values(), values, rtol=0, atol=0.011 * SPAN)
        for cell in range(2):
            key = f"{waits}_{cell}"
            assert np.any(before[key] != 0)
            assert_array_equal(after[key], before[key])
            taken = after[f"pulses_{cell}"].astype(int) - before[f"pulses_{cell}"]
            # A reset, and even steps of a hundredth of the window from its lower end.
            steps = np.rint((after[f"conductance_{cell}"] - RANGE["g_min"]) / (0.01 * SPAN))
            assert_array_equal(taken[:2], 1 + steps[:2])
            assert_array_equal(taken[2:], 0)
        # Fresh weights start without: a trained network is written.
        array.write(array.values())
        fresh = array_of(accumulate=accumulate).record()
        assert_array_equal(array.record()[f"{waits}_0"], fresh[f"{waits}_0"])


def test_a_refresh_carries_what_narrow_cells_hold():
    weights = np.full((UNITS, INPUTS), 0.985)
    array = array_of(weights=weights, accumulate="carry", carry_every=1000)
    array.program(drawn(np.random.default_rng(6), 0.004 * SPAN), 0)
    values, held = array.values(), array.record()["fast_conductance_0"].copy()
    array._rewrite(1)
    spent = held != array.record()["fast_conductance_0"]
    assert spent.any()
    # The narrow cells are in their middle again, and the weights where they were.
    assert np.ptp(array.record()["fast_conductance_0"][spent]) <= 1e-6 * SPAN
    assert_allclose(array.values(), values, rtol=0, atol=0.011 * SPAN)


def test_a_verified_refresh_counts_the_reset_too():
    weights = np.full((UNITS, INPUTS), 0.99)
    mapping = {"verify_pulses": 200, "verify_tolerance": 0.006}
    array = array_of(weights=weights, mapping=mapping)
    first = [c.pulses.astype(int) for c in array.crossbars]
    assert first[0].min() > 90  # even steps of a hundredth, all counted
    array._rewrite(1)
    for crossbar, before in zip(array.crossbars, first, strict=True):
        assert_array_equal(crossbar.pulses - before, before + 1)


def disturbed(**reading):
    """Return what makes reads above 0.5 V move cells by a hundredth of their range."""
    return msgspec.structs.replace(
        EVEN,
        write_threshold=0.5,
        reading=msgspec.structs.replace(EVEN.reading, disturb=0.01, **reading),
    )


@pytest.mark.parametrize("reference", ["fixed", "column"])
def test_stressed_lines_disturb_both_cells_of_a_pair_alike(reference):
    array = array_of(disturbed(), mapping={"scheme": "offset", "reference": reference})
    pair, columns = array_of(disturbed()), reference == "column"
    x, y = np.zeros((2, INPUTS), "f4"), np.zeros((3, UNITS), "f4")
    x[0, :2], x[1, 0], y[2, 1] = (0.6, -0.7), 0.4, 0.8
    before = array.values(), pair.values()
    # Two of the lines are above the threshold, one of them downwards.
    assert array.disturb(x, 0) == 2 * (UNITS + columns)
    assert pair.disturb(x, 0) == 2 * 2 * UNITS
    step = 0.01 * SPAN
    moved = np.zeros((UNITS, INPUTS))
    moved[:, :2] = step, -step
    assert_allclose(array.values() - before[0], 0 if columns else moved, rtol=0, atol=1e-5 * SPAN)
    assert_allclose(pair.values(), before[1], rtol=0, atol=1e-5 * SPAN)
    # A word line below the bit line falls.
    held = pair.crossbars[1].values()
    assert pair.disturb(y, 0, 1, transposed=True) == 2 * INPUTS
    fallen = pair.crossbars[1].values() - held
    assert_allclose(fallen[1], -step, rtol=0, atol=1e-5 * SPAN)
    assert_array_equal(np.delete(fallen, 1, axis=0), 0)
    assert_allclose(pair.read(x), x @ pair.values().T, rtol=0, atol=1e-5 * SPAN)


def test_feedforward_reads_disturb_both_ways():
    """With inputs, states and errors of 1 at 0.6 V, and reads that move cells above 0.5 V."""
    chip = msgspec.structs.replace(
        specify(disturbed()), input=chip_specification.Input(full_scale=0.6)
    )
    network = FeedforwardNetwork(sizes=(4, 3, 2), hidden="relu", output="linear", cost="squared")
    weights = [np.zeros((3, 4)), np.zeros((2, 3))]
    built = FeedforwardChip(chip, network, weights, seed=0, dtype="float32")
    rule, inputs = Backpropagation(network, built), 0.6 * np.eye(4, dtype="f4")[:1]
    activity = rule.forward(built.arrays[0].read(inputs), 0, inputs)
    assert np.all(activity.states[0] == 0)
    errors = rule.errors(activity, np.array([[1.0, 0.0]], "f4"), 0)
    # One line of the first array forwards, one of the second backwards; pairs of cells.
    assert rule.disturb(inputs, activity, errors, 0) == 2 * 3 + 2 * 3
    assert rule.disturb(0.5 * inputs, activity, errors, 0) == 2 * 3
    quiet = FeedforwardChip(specify(), network, weights, seed=0, dtype="float32")
    plain = Backpropagation(network, quiet)
    assert plain.disturb(inputs, activity, errors, 0) == 0


def test_hopfield_nodes_disturb_the_arrays_on_both_sides(make_hopfield):
    problem = make_hopfield((4,), pixels=5, outputs=3, activation="hard-sigmoid")
    weights = [np.zeros(g.shape) for g in problem.conductances]
    chip = HopfieldChip(specify(disturbed()), problem.network, weights, seed=0, dtype="float32")
    inputs, nodes = np.zeros((1, 5), "f4"), [np.zeros((1, n), "f4") for n in (4, 3)]
    assert chip.disturb(inputs, nodes, 0) == 0
    inputs[0, 0] = nodes[0][0, 1] = nodes[1][0, 2] = 0.6
    # Lines of inputs and hidden nodes forwards, of an output backwards; pairs of cells.
    assert chip.disturb(inputs, nodes, 0) == 2 * (4 + 3 + 4)


@pytest.mark.parametrize(
    ("settings", "recipe"),
    [(("network.initial_range=0.5",), "mlp-1h"), ((), "ep-1h")],
    ids=["feedforward", "hopfield"],
)
def test_training_disturbs_the_cells_that_its_reads_stress(settings, recipe):
    few = ("data.name=digits", "data.train=8", "network.hidden=[4]", "training.batch=4")
    stress = ("chip.device.write_threshold=0.15 V", "chip.device.reading.disturb=1 %")
    rates = ("learning.learning_rate=0", "learning.bias_learning_rate=0")
    if recipe == "ep-1h":
        rates = ("learning.learning_rate=[0.0, 0.0]", "learning.bias_learning_rate=[0.0, 0.0]")
    starts, ends = (
        trainer.train(
            configuration.load(
                recipe, chip="epiram", settings=(*few, *settings, *more, *rates), epochs=1
            )
        ).arrays[0]["conductance_0"]
        for more in ((), stress)
    )
    assert np.any(ends > starts)
    assert np.all(ends >= starts)  # pixels are not negative


@pytest.mark.parametrize("recipe", ["mlp-1h", "ep-1h"])
def test_a_resumed_run_is_the_uninterrupted_one(recipe, tmp_path, monkeypatch):
    settings = (
        *("data.name=digits", "data.train=16", "network.hidden=[4]", "training.batch=4"),
        *("chip.programming.events=sample", "chip.programming.pulses=train"),
        *("chip.programming.accumulate=analog", "chip.mapping.refresh=5", "chip.bias.kind=rails"),
        *("chip.device.write_threshold=0.15 V", "chip.device.reading.disturb=1 %"),
    )
    more = ("network.initial_range=0.9",) if recipe == "mlp-1h" else ()
    experiment = configuration.load(recipe, chip="reram-sb", settings=settings + more, epochs=1)
    reference, copies, save = trainer.train(experiment), [], run_file.save

    def save_and_copy(path, run):
        save(path, run)
        copies.append(shutil.copy(path, tmp_path / f"{len(copies)}.h5"))

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(run_file, "save", save_and_copy)
        trainer.train(experiment, out=tmp_path / "a.h5")
    assert run_file.load(copies[1]).counters["step"] == 2
    resumed = trainer.train(experiment, out=copies[1], resume=True)
    assert run_file.checksum(resumed) == run_file.checksum(reference)
    assert all(array["fast_pulses"].max() > 0 for array in (*resumed.arrays, *resumed.biases))


def test_a_verified_change_of_a_one_sided_pair_is_made_once():
    # The cell that would have to fall keeps nothing back, which would undo later rises of it.
    array = array_of(mapping={"sides": "one"}, pulses="write-verify", accumulate="digital")
    x, d = np.ones((1, 1, INPUTS), "f4"), np.full((1, 1, UNITS), 0.2 * SPAN, "f4")
    for event, (sign, wanted) in enumerate(((-1, -0.2), (1, 0.0), (1, 0.2))):
        array.program(Update(presynaptic=x, postsynaptic=sign * d), event)
        # Cells come within 1 % of the range, three times.
        assert_allclose(array.values(), wanted * SPAN, atol=0.03 * SPAN)


def test_slices_take_updates_in_the_last_one_only():
    mapping = {"scheme": "bit-sliced", "slices": 2, "slice_bits": 4}
    array = array_of(LAME, mapping=mapping, accumulate="analog")
    array.program(drawn(np.random.default_rng(0), 0.01 * SPAN), 0)
    record = array.record()
    assert "fast_pulses_0" not in record
    assert record["fast_pulses_1"].max() > 0
    assert memory(specify(LAME, mapping=mapping, accumulate="analog")) == (0, 3)
    assert memory(specify(LAME, accumulate="digital")) == (64, 2)


@pytest.mark.parametrize(
    ("mapping", "device", "error", "words"),
    [
        ({"scheme": "bit-sliced"}, EVEN, UnsupportedError, "carry: the slices"),
        ({"sides": "one"}, EVEN, UnsupportedError, "carry: cells that updates only raise"),
    ],
)
def test_what_does_not_carry_is_refused(mapping, device, error, words):
    with pytest.raises(error, match=rf"^programming\.accumulate = {words}"):
        array_of(device, mapping=mapping, accumulate="carry")


def test_a_fast_array_moves_both_ways():
    one_sided = chip_specification.load("pcm").device
    with pytest.raises(InvalidValueError, match=r"take a programming\.fast_device"):
        array_of(one_sided, mapping={"sides": "one"}, accumulate="analog")
    array = array_of(one_sided, mapping={"sides": "one"}, accumulate="analog", fast_device=LAME)
    array.program(drawn(np.random.default_rng(0), 0.1 * SPAN), 0)
    assert array.record()["fast_pulses"].max() > 0
