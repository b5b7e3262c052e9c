"""`neurohw program`, and what `export` prints of formats that say something."""

import json

import pytest

from neurohw.experiments import configuration, run_file, trainer

FEW = ("data.train=100", "network.hidden=[8]", "data.crop=2", "learning.nudging=0.02")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "a.h5"
    experiment = configuration.load("drn-digits", chip="epiram", settings=FEW, epochs=1)
    trainer.train(experiment, out=path)
    return path


def test_a_schedule_is_carried_out(invoke, trained, tmp_path):
    done = invoke(
        *("export", trained, "--format", "pulses", "--set", "retries=5", "-o", "plan"),
        *("--verify", "--report", "plan.html"),
    )
    assert done.exit_code == 0, done.stderr
    assert "First trains: 336 cells; " in done.stdout and "then up to 5 trains" in done.stdout
    assert "verified: the targets are the map's" in done.stdout
    assert "target conductance" in tmp_path.joinpath("plan.html").read_text()
    done = invoke(
        *("program", "plan", "--network", trained, "--seed", 3, "--json"),
        *("-o", "chip.h5", "--report", "chip.html"),
    )
    assert done.exit_code == 0, done.stderr
    assert "Largest errors" in tmp_path.joinpath("chip.html").read_text()
    open_loop, verified = json.loads(done.stdout)["programmed"]
    assert open_loop["retries"] == 0 and verified["retries"] == 5
    assert open_loop["rms"] > verified["rms"] > 0
    # The run that was written is the chip as it was programmed at last.
    found = json.loads(invoke("evaluate", "chip.h5", "--json").stdout)
    assert found["test_error"] == verified["test_error"]
    run = run_file.load("chip.h5")
    assert run.experiment.training.seed == 3
    assert run.start["checksum"] == run_file.checksum(run_file.load(trained))
    shown = invoke("program", "plan", "--network", trained, "--seed", 3, "--retries", 0)
    lines = [line.split("  ") for line in shown.stdout.splitlines()]
    assert lines[0][-1] == "open loop"
    assert lines[-2] == ["test error", *[""] * 8, f"{100 * open_loop['test_error']:.2f} %"]


def test_nothing_is_overwritten_and_other_networks_are_refused(invoke, trained, tmp_path):
    invoke("export", trained, "--format", "pulses", "-o", "plan")
    tmp_path.joinpath("there.h5").write_text("mine")
    refused = invoke("program", "plan", "--network", trained, "-o", "there.h5")
    assert refused.exit_code == 2 and "there.h5" in refused.stderr
    assert tmp_path.joinpath("there.h5").read_text() == "mine"
    mine = trained.read_bytes()
    for command in (
        ("program", "plan", "--network", trained),
        ("export", trained, "--format", "npz", "-o", "a.npz"),
    ):
        refused = invoke(*command, "--report", trained)
        assert refused.exit_code == 2 and "is the file" in refused.stderr
    assert trained.read_bytes() == mine and not tmp_path.joinpath("a.npz").exists()
    tmp_path.joinpath("plan/programming.json").unlink()
    refused = invoke("program", "plan", "--network", trained)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: plan/programming.json: cannot be read")


def test_losses_are_said_and_netlists_verified(invoke, trained):
    pytest.importorskip("nir")
    done = invoke("export", trained, "--format", "nir", "-o", "a.nir", "--verify")
    assert done.exit_code == 0, done.stderr
    assert "NIR holds neither tied weights nor clamps" in done.stdout
    assert "verified: 100 of 100" in done.stdout
    done = invoke("export", trained, "--format", "spice", "-o", "a.cir", "--verify")
    assert done.exit_code == 0, done.stderr
    assert "verified: ngspice" in done.stdout and "layer2-0-0, 8 x 10 lines" in done.stdout
