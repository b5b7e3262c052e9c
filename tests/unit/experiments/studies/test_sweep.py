"""Sweeps: what runs, what is kept, what goes on, and the table."""

import errno
import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurohw.errors import ConfigurationError, NumericalError, StudyError
from neurohw.experiments.studies import jobs, study
from neurohw.experiments.studies import table as tables
from neurohw.experiments.studies.sweep import read, sweep


def files(out):
    return sorted(path.name for path in (out / "jobs").iterdir())


def test_the_table_has_a_row_for_each_point_and_seed(trainer, table):
    found = sweep(table)
    assert found["device.cycle_to_cycle"].tolist() == [0, 0, 0.01, 0.01, 0.1, 0.1]
    assert found["seed"].tolist() == [0, 1] * 3
    np.testing.assert_allclose(found["test_error"], [0.15, 0.151, 0.16, 0.161, 0.25, 0.251])
    np.testing.assert_allclose(found["penalty"], [0, 0, 0.01, 0.01, 0.1, 0.1], atol=1e-12)
    assert set(found["status"]) == {"done"} and set(found["epochs"]) == {2}
    assert set(found) == {*study.COLUMNS, "device.cycle_to_cycle"}


def test_a_resume_runs_only_what_is_missing(trainer, table, tmp_path):
    whole = sweep(table, out=tmp_path)
    assert len(files(tmp_path)) == len(trainer.trained) == 6
    (tmp_path / "jobs" / files(tmp_path)[3]).unlink()
    with pytest.raises(StudyError, match="--resume"):
        sweep(table, out=tmp_path)
    again = sweep(table, out=tmp_path, resume=True)
    assert len(trainer.trained) == 7
    for key, values in whole.items():
        np.testing.assert_array_equal(again[key], values)
    # The study may grow; what was run counts.
    table["axes"][0]["values"] += ["20 %"]
    assert len(sweep(table, out=tmp_path, resume=True)["seed"]) == 8
    assert len(trainer.trained) == 9


def test_points_that_are_the_same_experiment_run_once(trainer, table):
    table["axes"][0]["values"] = ["1 %", 0.01, "0 %"]
    sweep(table | {"seeds": 1})
    assert len(trainer.trained) == 2


def test_a_failure_is_a_row_and_the_study_goes_on(trainer, table, tmp_path):
    def error(experiment, epoch):
        if experiment.training.seed == 1 and experiment.chip.device.cycle_to_cycle == 0.01:
            raise NumericalError("epoch 1: NaN")
        if experiment.chip.device.cycle_to_cycle == 0.1:
            raise ZeroDivisionError("of a kind\nnobody expected")
        return 0.1

    trainer.error = error
    found = sweep(table, out=tmp_path)
    assert found["status"].tolist() == ["done", "done", "done", "failed", "failed", "failed"]
    assert found["message"][3] == "epoch 1: NaN"
    assert (
        "ZeroDivisionError: of a kind nobody expected (test_sweep.py, line" in found["message"][4]
    )
    assert np.isnan(found["test_error"][3:]).all()
    # A failure is a result; it is run again when asked for.
    sweep(table, out=tmp_path, resume=True)
    assert len(trainer.trained) == 6
    trainer.error = lambda experiment, epoch: 0.1
    assert set(sweep(table, out=tmp_path, retry=True)["status"]) == {"done"}
    assert len(trainer.trained) == 9


def test_early_stopping_ends_hopeless_runs(trainer, table):
    table |= {"epochs": 4, "stopping": {"error": 0.2, "after": 2}}
    found = sweep(table)
    assert found["epochs"].tolist() == [4, 4, 4, 4, 2, 2]
    assert found["status"].tolist() == ["done"] * 4 + ["stopped"] * 2
    # Of as many epochs of the reference.
    np.testing.assert_allclose(found["penalty"][4:], 0.1)


def test_halving_lets_the_best_and_the_reference_go_on(trainer, table, tmp_path):
    table |= {"epochs": 9, "halving": {"epochs": 1, "factor": 3}}
    table["axes"][0]["values"] = ["1 %", "2 %", "3 %", "4 %", "5 %", "6 %"]
    found = sweep(table, out=tmp_path)
    assert found["epochs"].tolist() == [9] * 2 + [3] * 2 + [1] * 8 + [9] * 2
    np.testing.assert_allclose(found["penalty"][:4], [0.01, 0.01, 0.02, 0.02])
    count = len(trainer.trained)
    assert count == 2 * (7 + 3 + 2)
    again = sweep(table, out=tmp_path, resume=True)
    assert len(trainer.trained) == count
    assert (
        again["epochs"].tolist() == read(tmp_path)[1]["epochs"].tolist() == found["epochs"].tolist()
    )
    assert all(name.endswith(".json") for name in files(tmp_path))


def test_nothing_runs_where_a_point_is_no_valid_chip(trainer, table, tmp_path):
    table["axes"][0]["values"] = [0, 2.0]
    with pytest.raises(ConfigurationError, match=r"noise: device.cycle_to_cycle = 200 %"):
        sweep(table, out=tmp_path / "new")
    assert not trainer.trained and not (tmp_path / "new").exists()


def test_a_full_disk_ends_the_study_and_leaves_what_is_finished(
    trainer, table, tmp_path, monkeypatch
):
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StudyError, match=r"\.json: cannot be written: No space left.*finished is kept"
    ):
        sweep(table, out=tmp_path)
    assert len(files(tmp_path)) == 2
    assert (sweep(table, out=tmp_path, resume=True)["status"] == "done").all()
    assert len(trainer.trained) == 7


@pytest.mark.parametrize("place", ["study.json", "jobs"])
def test_results_of_another_schema_are_refused(trainer, table, tmp_path, place):
    sweep(table, out=tmp_path)
    path = tmp_path / place
    path = path / files(tmp_path)[0] if path.is_dir() else path
    content = json.loads(path.read_text()) | {"schema_version": 2}
    path.write_text(json.dumps(content))
    with pytest.raises(StudyError, match=rf"{path.name}: schema_version = 2: this neurohw reads 1"):
        sweep(table, out=tmp_path, resume=True)
    path.write_text("{}")
    with pytest.raises(StudyError, match=path.name):
        sweep(table, out=tmp_path, resume=True)
    path.write_text("no JSON")
    with pytest.raises(StudyError, match=path.name):
        sweep(table, out=tmp_path, resume=True)


def test_an_interrupted_run_leaves_no_file(trainer, table, tmp_path):
    def error(experiment, epoch):
        if experiment.chip.device.cycle_to_cycle == 0.1:
            raise KeyboardInterrupt
        return 0.1

    trainer.error = error
    with pytest.raises(KeyboardInterrupt):
        sweep(table, out=tmp_path)
    assert len(files(tmp_path)) == 4


def test_progress_counts_and_knows_the_best_and_the_worst(trainer, table, tmp_path):
    told = []
    sweep(table, out=tmp_path, progress=told.append)
    assert [p.done for p in told] == list(range(7)) and {p.jobs for p in told} == {6}
    assert [p.running for p in told] == [1] * 6 + [0]
    assert told[-1].seconds_left == 0 and np.isnan(told[0].seconds_left)
    np.testing.assert_allclose([told[-1].best, told[-1].worst], [0.15, 0.251])


def test_tables_are_csv_and_hdf5(trainer, table, tmp_path):
    found = sweep(table)
    assert tables.to_csv(found).splitlines()[1].startswith("0,0.0,0,done,2,0.15")
    tables.write_hdf5(found, tmp_path / "table.h5", {"device.cycle_to_cycle": "%"})
    back = tables.read_hdf5(tmp_path / "table.h5")
    assert back.keys() == found.keys()
    for key, values in found.items():
        np.testing.assert_array_equal(back[key], values)


def test_a_job_is_named_by_all_that_decides_its_result(table):
    point = study.points(study.load(table))[0]
    names = {
        jobs.Job(point.at(0), 2).name,
        jobs.Job(point.at(1), 2).name,
        jobs.Job(point.at(0), 1).name,
        jobs.Job(point.at(0), 2, study.Stopping(error=0.5)).name,
        jobs.Job(study.points(study.load(table))[1].at(0), 2).name,
    }
    assert len(names) == 5
    assert (
        jobs.Job(point.at(0), 2).name == jobs.Job(study.points(study.load(table))[0].at(0), 2).name
    )


def test_results_of_a_version_with_fewer_keys_are_found(trainer, table, tmp_path):
    expected = sweep(table, out=tmp_path)
    paths = sorted((tmp_path / "jobs").iterdir())
    for path in paths:
        result = json.loads(path.read_text())
        del result["experiment"]["chip"]["device"]["reading"]["reads"]
        path.write_text(json.dumps(result))
    np.testing.assert_array_equal(read(tmp_path)[1]["test_error"], expected["test_error"])
    sweep(table, out=tmp_path, resume=True)
    assert len(trainer.trained) == 6
    for path in paths:
        path.rename(path.with_name(f"0{path.name}"))
    with pytest.raises(StudyError, match="no result there is of this study"):
        read(tmp_path)
    for path in paths:
        path.with_name(f"0{path.name}").rename(path)
    # A version that took the same words otherwise: nothing says which result is meant.
    result["experiment"]["training"]["batch"] = 7
    paths[-1].write_text(json.dumps(result))
    with pytest.raises(StudyError, match="this version of neurohw takes otherwise"):
        sweep(table, out=tmp_path, resume=True)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_a_killed_writer_left_is_removed(trainer, table, tmp_path):
    sweep(table, out=tmp_path)
    with subprocess.Popen(["sleep", "60"]) as living, subprocess.Popen(["sleep", "60"]) as ended:
        ended.kill()
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # and leave it in the table
        left = {
            number: tmp_path / "jobs" / f".a.json.{platform.node()}-{number}.unfinished"
            for number in (999999999, ended.pid, living.pid)
        }
        for path in left.values():
            path.write_text("{")
        sweep(table, out=tmp_path, resume=True)
        living.kill()
    assert [number for number, path in left.items() if path.exists()] == [living.pid]


def test_really_trained_jobs_halve_and_go_on_as_if_never_stopped(real, tmp_path):
    real = real | {"epochs": 2, "seeds": 1}
    whole = sweep(real)
    halved = sweep(real | {"halving": {"epochs": 1, "factor": 2}}, out=tmp_path)
    assert sorted(halved["status"]) == ["done", "paused"]
    on = halved["status"] == "done"
    np.testing.assert_array_equal(halved["test_error"][on], whole["test_error"][on])
    assert not list((tmp_path / "jobs").glob("*.h5"))
