"""Run files: round trip, checksum, atomic replacement, and what is refused."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurohw.errors import RunFileError
from neurohw.experiments import run_file
from neurohw.experiments.configuration import load as load_experiment
from neurohw.experiments.configuration import to_json
from neurohw.experiments.run_file import Run, check_writable, checksum, load, save

DTYPES = ["?", "i1", "<i2", ">i4", "<i8", "u1", "<u4", ">u8", "<f2", "<f4", ">f8", "<c8", "<c16"]


def make_run(seed: int = 0, seconds: float = 1.0, cells: int = 48) -> Run:
    rng = np.random.default_rng(seed)
    return Run(
        experiment=load_experiment("drn-digits", seed=seed),
        dataset={"name": "digits", "checksum": "ab" * 32},
        arrays=[
            {
                "conductance": rng.random((6, cells // 6), dtype=np.float32),
                "pulses": rng.integers(0, 99, (6, cells // 6), dtype=np.uint32),
            },
            {"conductance": rng.random((3, 6))},
        ],
        biases=[{"current": rng.random(6)}, {}],
        state={"order": rng.permutation(9), "step": np.asarray(7), "mask": rng.random(5) > 0.5},
        counters={"epoch": 2, "step": 7},
        history={"epoch": np.array([1, 2]), "test_error": np.array([0.3, 0.1])},
        physical={"voltage": np.array([1e-3, 2e-4])},
        times={"seconds_per_epoch": np.array([seconds, 2 * seconds]), "total": 3 * seconds},
        versions={"neurohw": "0.1"},
    )


def assert_same(first: Run, second: Run) -> None:
    for field in dataclasses.fields(Run):
        before, after = getattr(first, field.name), getattr(second, field.name)
        if field.name in ("arrays", "biases"):
            assert len(before) == len(after)
            pairs = list(zip(before, after, strict=True))
        elif isinstance(before, dict):
            pairs = [(before, after)]
        else:
            assert before == after
            continue
        for old, new in pairs:
            assert sorted(old) == sorted(new)
            for key, value in old.items():
                assert np.asarray(value).dtype == np.asarray(new[key]).dtype
                assert np.shape(value) == np.shape(new[key])
                assert np.asarray(value).tobytes() == np.asarray(new[key]).tobytes()


def the_line(error: pytest.ExceptionInfo[RunFileError]) -> str:
    line = str(error.value)
    assert "\n" not in line
    return line


def test_round_trip(tmp_path: Path) -> None:
    run = make_run()
    save(tmp_path / "a.h5", run)
    loaded = load(tmp_path / "a.h5")
    assert_same(run, loaded)
    assert checksum(loaded) == checksum(run)
    assert isinstance(loaded.times["total"], float)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_returns_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    run = make_run()
    itemsize = np.dtype(dtype).itemsize
    noise = np.random.default_rng(1).integers(0, 2 if dtype == "?" else 256, 60 * itemsize)
    values = noise.astype(np.uint8).view(dtype)
    run.state |= {
        "values": values.reshape(5, 12),
        "transposed": values.reshape(5, 12).T,
        "strided": values[::7],
        "scalar": values[:1].reshape(()),
        "empty": values[:0].reshape(0, 3),
    }
    save(tmp_path / "a.h5", run)
    assert_same(run, load(tmp_path / "a.h5"))


def test_experiment_floats_return_exactly(tmp_path: Path) -> None:
    run = make_run()
    run.experiment = load_experiment(
        "drn-digits", settings=[f"learning.nudging={0.1 + 0.2!r}", "network.input_gain=1e-7"]
    )
    save(tmp_path / "a.h5", run)
    assert load(tmp_path / "a.h5").experiment.learning.nudging == 0.1 + 0.2


def test_checksum_leaves_out_times_and_versions() -> None:
    run, later = make_run(seconds=1.0), make_run(seconds=5.0)
    later.versions = {"neurohw": "9"}
    assert checksum(run) == checksum(later)


@pytest.mark.parametrize("group", ["arrays", "biases", "state", "history", "physical"])
def test_checksum_sees_every_bit(group: str) -> None:
    run, other = make_run(), make_run()
    held = getattr(other, group)
    values = held[0] if isinstance(held, list) else held
    key = sorted(values)[0]
    values[key] = values[key].copy()
    values[key].reshape(-1)[-1] = np.nextafter(values[key].reshape(-1)[-1], 9) + (
        values[key].dtype.kind == "i"
    )
    assert checksum(run) != checksum(other)


def test_checksum_sees_names_types_shapes_counters_and_data() -> None:
    changes = []
    for change in range(6):
        run = make_run()
        if change == 1:
            run.state["order2"] = run.state.pop("order")
        elif change == 2:
            run.history["epoch"] = run.history["epoch"].astype(np.int32)
        elif change == 3:
            run.arrays[1]["conductance"] = run.arrays[1]["conductance"].reshape(6, 3)
        elif change == 4:
            run.counters["step"] = 8
        elif change == 5:
            run.dataset["checksum"] = "cd" * 32
        changes.append(checksum(run))
    changes.append(checksum(make_run(seed=1)))
    assert len(set(changes)) == len(changes)


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a.h5", make_run())
    time.sleep(1.1)  # one tick of a time stamp in seconds
    save(tmp_path / "b.h5", make_run())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_file_says_units_and_orientation_and_is_contiguous(tmp_path: Path) -> None:
    run = make_run()
    run.state["voltage_1"] = np.zeros((4, 3))
    run.physical["bias_power"] = np.ones(2)
    run.history["learning_rate"] = np.ones(2)
    save(tmp_path / "a.h5", run)
    with h5py.File(tmp_path / "a.h5") as file:
        conductance = file["arrays/0/conductance"]
        assert conductance.attrs["unit"] == b"S"
        assert conductance.attrs["axes"] == b"unit, input"
        assert conductance.chunks is None
        assert file["physical/voltage"].attrs["unit"] == b"V"
        assert file["physical/bias_power"].attrs["unit"] == b"W"
        assert file["state/voltage_1"].attrs["unit"] == b"V"
        assert file["history/learning_rate"].attrs["unit"].decode() == "S/V²"


def test_large_array_adds_little_to_its_bytes(tmp_path: Path) -> None:
    run = make_run(cells=6 * 500_000)
    save(tmp_path / "a.h5", run)
    content = sum(array.nbytes for arrays in run.arrays for array in arrays.values())
    assert content < (tmp_path / "a.h5").stat().st_size < content + 50_000


@pytest.mark.parametrize("failing", ["os.replace", "os.fsync", "pathlib.Path.write_bytes"])
def test_failure_while_saving_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    old, path = make_run(), tmp_path / "a.h5"
    save(path, old)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(failing, fail)
        with pytest.raises(RunFileError, match="No space left on device") as error:
            save(path, make_run(seed=1))
    assert str(path) in the_line(error)
    assert_same(old, load(path))
    assert os.listdir(tmp_path) == ["a.h5"]


def test_interrupt_while_saving_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, path = make_run(), tmp_path / "a.h5"
    save(path, old)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_file, "_synchronise", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(path, make_run(seed=1))
    assert_same(old, load(path))
    assert os.listdir(tmp_path) == ["a.h5"]


SAVING = """
import sys
import numpy as np
from neurohw.experiments.run_file import load, save
path = sys.argv[1]
run = load(path)
print("ready", flush=True)
while True:
    run.counters["epoch"] += 1
    run.state["filling"] = np.full(300_000, run.counters["epoch"])
    save(path, run)
"""


def test_killed_saves_leave_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    save(path, make_run())
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVING, str(path)], stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(float(rng.uniform(0.02, 0.3)))
            process.send_signal(signal.SIGKILL)
        run = load(path)
        if "filling" in run.state:
            assert np.all(run.state["filling"] == run.counters["epoch"])
    assert run.counters["epoch"] > 2
    save(path, run)
    assert os.listdir(tmp_path) == ["a.h5"]


FULL = """
import resource, sys
import numpy as np
from neurohw.errors import RunFileError
from neurohw.experiments.run_file import load, save
run = load(sys.argv[1])
run.state["filling"] = np.ones(1_000_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    save(sys.argv[1], run)
except RunFileError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    old, path = make_run(), tmp_path / "a.h5"
    save(path, old)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{path}: cannot be written: ")
    assert done.stdout.count("\n") == 1
    assert_same(old, load(path))
    assert os.listdir(tmp_path) == ["a.h5"]


def test_truncated_at_any_length_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.h5", make_run())
    content = (tmp_path / "a.h5").read_bytes()
    rng = np.random.default_rng(0)
    short = tmp_path / "short.h5"
    for length in [0, 1, 7, 8, 100, len(content) - 1, *rng.integers(0, len(content), 150)]:
        short.write_bytes(content[:length])
        with pytest.raises(RunFileError) as error:
            load(short)
        assert the_line(error).startswith(str(short))


def test_corrupt_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    run = make_run()
    save(tmp_path / "a.h5", run)
    content = np.frombuffer((tmp_path / "a.h5").read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(0)
    broken, refused = tmp_path / "broken.h5", 0
    for place in rng.integers(0, content.size, 300):
        changed = content.copy()
        changed[place] ^= rng.integers(1, 256, dtype=np.uint8)
        broken.write_bytes(changed.tobytes())
        try:
            assert checksum(load(broken)) == checksum(run)
        except RunFileError as error:
            refused += 1
            assert str(error).startswith(str(broken))
            assert "\n" not in str(error)
    assert refused > 50


def test_changed_conductance_breaks_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    save(path, make_run())
    with h5py.File(path, "r+") as file:
        file["arrays/0/conductance"][0, 0] += 1
    with pytest.raises(RunFileError, match="checksum") as error:
        load(path)
    assert checksum(make_run()) in the_line(error)


def test_text_in_place_of_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    save(path, make_run())
    with h5py.File(path, "r+") as file:
        del file["arrays/0/conductance"]
        file["arrays/0/conductance"] = "hello"
    with pytest.raises(RunFileError, match=r"a\.h5: not a readable run file") as error:
        load(path)
    the_line(error)


def test_not_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "notes.h5"
    path.write_text("not a run")
    with pytest.raises(RunFileError, match=r"notes\.h5: not a readable run file") as error:
        load(path)
    the_line(error)


def test_other_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(RunFileError, match=r"other\.h5: format: missing"):
        load(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = "weights"
    with pytest.raises(RunFileError, match=r"other\.h5: format: 'weights'"):
        load(path)


def test_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    save(path, make_run())
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 2
        del file["arrays"]
    with pytest.raises(RunFileError, match=r"a\.h5: schema_version: 2 is newer than 1"):
        load(path)


@pytest.mark.parametrize(
    "key",
    [
        *("experiment", "arrays", "biases", "state", "history", "physical", "times", "versions"),
        *("dataset", "counters", "arrays/0", "arrays/1/conductance", "history/test_error"),
    ],
)
def test_missing_parts_are_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "a.h5"
    save(path, make_run())
    with h5py.File(path, "r+") as file:
        del file[key]
    with pytest.raises(RunFileError, match=rf"a\.h5: {key}: missing") as error:
        load(path)
    the_line(error)


def test_missing_and_wrong_attributes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for group, key in (("dataset", "checksum"), ("counters", "epoch"), ("/", "checksum")):
        save(path, make_run())
        with h5py.File(path, "r+") as file:
            del file[group].attrs[key]
        with pytest.raises(RunFileError, match=f"{group.strip('/')}.*{key}: missing"):
            load(path)


def test_group_in_place_of_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    save(path, make_run())
    with h5py.File(path, "r+") as file:
        file.create_group("state/nested")
    with pytest.raises(RunFileError, match=r"a\.h5: state/nested: Group is not a Dataset"):
        load(path)


def test_configuration_inside_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    save(path, make_run())
    with h5py.File(path, "r+") as file:
        text = file["experiment"].asstr()[()]
        del file["experiment"]
        file["experiment"] = text.replace('"nudging"', '"nuding"')
    with pytest.raises(RunFileError, match=r"a\.h5: experiment.*nuding") as error:
        load(path)
    the_line(error)


@pytest.mark.parametrize("value", [np.array(["text"]), np.array([object()]), np.longdouble(1)])
def test_values_that_cannot_be_held_are_refused(tmp_path: Path, value: object) -> None:
    run = make_run()
    run.state["odd"] = np.asarray(value)
    with pytest.raises(RunFileError, match=r"a\.h5: state/odd: .* cannot hold"):
        save(tmp_path / "a.h5", run)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("key", ["a/b", "", "."])
def test_names_that_cannot_be_held_are_refused(tmp_path: Path, key: str) -> None:
    run = make_run()
    run.state[key] = np.zeros(1)
    with pytest.raises(RunFileError, match="cannot be a name"):
        save(tmp_path / "a.h5", run)
    assert os.listdir(tmp_path) == []


def test_unwritable_places_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "a.h5", Path("/dev/null"), tmp_path / ("x" * 300)):
        with pytest.raises(RunFileError, match="cannot be written") as error:
            check_writable(path)
        assert the_line(error).startswith(str(path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RunFileError, match="read-only"):
        check_writable(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write in every folder"
)
def test_unwritable_folder(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(RunFileError, match="Permission denied"):
        check_writable(folder / "a.h5")


@pytest.mark.parametrize("name", ["a.h5", "new/a.h5", "new/folder/a.h5"])
def test_a_check_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    check_writable(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    check_writable(name)
    assert os.listdir(tmp_path) == []


def test_folders_are_made_and_links_followed(tmp_path: Path) -> None:
    save(tmp_path / "new" / "folder" / "a.h5", make_run())
    link = tmp_path / "link.h5"
    link.symlink_to(tmp_path / "new" / "folder" / "a.h5")
    save(link, make_run(seed=1))
    assert link.is_symlink()
    assert checksum(load(tmp_path / "new" / "folder" / "a.h5")) == checksum(make_run(seed=1))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="no such file"):
        load(tmp_path / "none.h5")


def test_a_file_with_fewer_settings_is_read(tmp_path):
    """Versions to come have more keys, whose defaults stand for what this one does."""
    run = make_run()
    table = json.loads(to_json(run.experiment))
    del table["chip"]["hold"]
    older = dataclasses.replace(run, settings=json.dumps(table))
    save(tmp_path / "older.h5", older)
    loaded = load(tmp_path / "older.h5")
    assert loaded.experiment == run.experiment
    assert checksum(loaded) == checksum(older) != checksum(run)
