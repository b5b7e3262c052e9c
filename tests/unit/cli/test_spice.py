"""`neurohw spice`: decks and verification of trained runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from neurohw.engines.spice.session import session
from neurohw.experiments import run_file, trained_circuit, trainer, verification
from neurohw.experiments.configuration import load
from neurohw.experiments.run_file import load as load_run

SMALL = ("data.train=40", "network.hidden=[40]", "learning.nudging=0.02")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Return a run of 128-40-10 with ideal diodes."""
    path = tmp_path_factory.mktemp("runs") / "digits.h5"
    trainer.train(load("drn-digits", settings=SMALL, epochs=1), out=path)
    return path


@pytest.fixture(scope="module")
def bits(tmp_path_factory):
    """Return a run of 4-6-2 with real diodes."""
    path = tmp_path_factory.mktemp("runs") / "xor.h5"
    trainer.train(load("drn-xor", epochs=2), out=path)
    return path


def test_verify_cuts_a_network_that_is_too_large(invoke, digits):
    result = invoke("spice", "verify", digits, "--samples", 3, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["sizes"] == {"trained": [128, 40, 10], "verified": [64, 32, 10]}
    assert facts["samples"] == 3
    assert facts["ngspice_version"] == session().version
    for key, limit in (("state_error", 1e-6), ("update_error", 1e-5)):
        assert 0 < facts[key]["p50"] <= facts[key]["p90"] <= facts[key]["max"] < limit
    assert 1e-4 < facts["ideal_diode_gap"]["max"] < 0.1
    shown = invoke("spice", "verify", digits, "--samples", 1).stdout
    assert "64-32-10, cut from 128-40-10" in shown
    assert "ideal diodes to N = 1e-3" in shown


def test_verify_of_real_diodes_leaves_nothing_out(invoke, bits):
    facts = json.loads(invoke("spice", "verify", bits, "--json").stdout)
    assert facts["sizes"] == {"trained": [4, 6, 2], "verified": [4, 6, 2]}
    assert (facts["samples"], facts["ideal_diode_gap"]) == (4, None)
    assert facts["state_error"]["max"] < 1e-6


def test_verify_of_wires_whose_reduction_is_old(invoke):
    wires = ("chip.wires.word_line=200 ohm", "chip.wires.bit_line=100 ohm")
    run = trainer.train(load("drn-xor", settings=wires, epochs=20))
    # As at a checkpoint between two reductions.
    run.arrays[0]["wire_share"] *= 0.9
    run_file.save("wires.h5", run)
    result = invoke("spice", "verify", "wires.h5", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["state_error"]["max"] < 1e-6


MEASURED = 'neuron={kind="measured",low_voltage=0.1,curve={voltage=[0,0.5],current=[0,1e-6]}}'
CELLS = "synapse={voltage=[-10,10],coefficients=[1,0,0.01]}"


@pytest.mark.parametrize("chip", [(MEASURED,), (CELLS,), (MEASURED, CELLS)], ids=str)
def test_measured_elements(invoke, chip):
    """Verified whole, and a deck of them that stands alone has the engine's voltages."""
    settings = (*(f"chip.{key}" for key in chip), "relaxation.accelerator=none")
    trainer.train(load("drn-xor", settings=settings, epochs=2), out=Path("a.h5"))
    result = invoke("spice", "verify", "a.h5", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["sizes"]["verified"] == [4, 6, 2]
    # The drn-xor of linear cells and Shockley diodes is a percent and more away.
    for key, limit in (("state_error", 1e-6), ("update_error", 1e-5)):
        assert 0 < facts[key]["max"] < limit
    text = invoke("spice", "netlist", "a.h5", "--sample", 1, "--phase", "nudged").stdout
    assert (".func element_current" in text) == (MEASURED in chip)
    assert (".func cell_law" in text) == (CELLS in chip)
    state = verification.solve(trained_circuit.trained(load_run("a.h5"), slice(1, 2)), "numba")[1]
    np.testing.assert_allclose(solve(text, ["n1_0", "n2_1"]), [state[0][0, 0], state[1][0, 1]])


def test_a_large_network_of_measured_elements_is_cut(invoke):
    settings = (*SMALL, *(f"chip.{key}" for key in (MEASURED, CELLS)))
    trainer.train(load("drn-digits", settings=settings, epochs=1), out=Path("a.h5"))
    result = invoke("spice", "verify", "a.h5", "--samples", 2, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["sizes"] == {"trained": [128, 40, 10], "verified": [64, 32, 10]}
    for key, limit in (("state_error", 1e-6), ("update_error", 1e-5)):
        assert 0 < facts[key]["max"] < limit


def solve(text, nodes):
    """Return the voltages of nodes of a deck."""
    session().unload()
    ngspice = session()._ngspice
    ngspice.load_circuit(text)
    ngspice.exec_command("op")
    found = ngspice.voltages(nodes)
    ngspice.exec_command("destroy all")
    ngspice.exec_command("remcirc")
    return found


def test_numbers_may_overflow_as_they_do_in_training(invoke, bits, monkeypatch):
    solve, seen = trained_circuit.Circuit.relax, []

    def relax(*arguments):
        seen.append(np.geterr()["over"])
        return solve(*arguments)

    monkeypatch.setattr(trained_circuit.Circuit, "relax", relax)
    for command in (("verify", "--samples", 1), ("netlist", "--phase", "nudged")):
        seen.clear()
        assert invoke("spice", *command, bits).exit_code == 0
        assert set(seen) == {"ignore"}


def test_verify_fails_above_the_tolerance(invoke, bits):
    result = invoke("spice", "verify", bits, "--tolerance", 1e-20, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["samples"] == 4
    (line,) = result.stderr.splitlines()
    assert "p90 of state_error is" in line and "above 1e-20" in line


def test_netlist_is_the_circuit_of_a_sample(invoke, bits):
    for phase, k in (("free", 0), ("nudged", 1)):
        words = ("spice", "netlist", bits, "--sample", 2, "--phase", phase)
        assert invoke(*words, "-o", "deck.cir", "--force").exit_code == 0
        text = Path("deck.cir").read_text(encoding="utf-8")
        assert invoke(*words).stdout == text
        found = solve(text, ["n1_0", "n1_5", "n2_0", "n2_1"])
        circuit = trained_circuit.trained(load_run(bits), slice(2, 3))
        state = verification.solve(circuit, "numba")[k]
        expected = [state[0][0, 0], state[0][0, 5], state[1][0, 0], state[1][0, 1]]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_bad_input(invoke, bits):
    result = invoke("spice", "netlist", bits, "--sample", 4)
    assert result.exit_code == 2
    assert "xor: there is no sample 4" in result.stderr
    assert invoke("spice", "netlist", "none.h5").exit_code == 2
    assert invoke("spice", "verify", bits, "--samples", 0).exit_code == 2


def test_engine_option(invoke):
    words = ("train", "--recipe", "drn-xor", "--epochs", 1, "--out", "a.h5")
    assert invoke(*words, "--engine", "spice").exit_code == 0
    assert load_run("a.h5").experiment.training.engine == "spice"
    result = invoke(*words, "--engine", "spicy")
    assert result.exit_code == 2 and "training.engine" in result.stderr


def test_a_deck_that_exists_is_kept(invoke, bits):
    Path("deck.cir").write_text("precious")
    words = ("spice", "netlist", bits, "-o", "deck.cir")
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: deck.cir: exists; use --force to replace it\n"
    assert Path("deck.cir").read_text() == "precious"
    assert invoke(*words, "--force").exit_code == 0
    assert Path("deck.cir").read_text() == invoke(*words[:3]).stdout
