"""`neurohw export` and `import`: out and back, verified, refused; what the imported run is."""

import json

import numpy as np
import pytest

from neurohw.experiments import configuration, run_file, trainer

FEW = ("data.train=200", "network.hidden=[8]", "chip.mapping.tile=16")
RUNS = {
    "resistive": ("drn-digits", "epiram", ("learning.nudging=0.02", "chip.bias.kind=current")),
    "feedforward": ("mlp-1h", "ecram", ("data.name=digits", "chip.mapping.scale=column")),
    "hopfield": ("ep-1h", "epiram", ("data.name=digits", "relaxation.free_sweeps=5")),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that trains a kind of network, once, and returns its run file."""
    folder = tmp_path_factory.mktemp("trained")

    def make(kind):
        path = folder / f"{kind}.h5"
        if not path.exists():
            recipe, chip, settings = RUNS[kind]
            experiment = configuration.load(recipe, chip=chip, settings=(*FEW, *settings), epochs=1)
            trainer.train(experiment, out=path)
        return path

    return make


def errors(invoke, path):
    result = invoke("evaluate", path, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    return found["train_error"], found["test_error"]


@pytest.mark.parametrize("kind", RUNS)
def test_out_and_back(kind, invoke, trained):
    path = trained(kind)
    done = invoke("export", path, "--format", "hdf5", "-o", "map.h5", "--verify")
    assert done.exit_code == 0, done.stderr
    assert "verified: 100 of 100 test images have the same prediction, outputs the" in done.stdout
    back = invoke("import", "map.h5", "--format", "hdf5", "--network", path, "-o", "back.h5")
    assert back.exit_code == 0, back.stderr
    assert errors(invoke, "back.h5") == errors(invoke, path)
    found, expected = run_file.load("back.h5"), run_file.load(path)
    for one, other in zip(found.arrays, expected.arrays, strict=True):
        np.testing.assert_array_equal(one["conductance"], other["conductance"])
    assert found.start["checksum"] == run_file.checksum(expected)
    assert float(found.start["test_error"]) == expected.history["test_error"][-1]
    assert found.counters["epoch"] == 0


def test_without_the_run(invoke, trained, tmp_path):
    """A configuration, instead of the run, gives the same network: the map has all of it."""
    path = trained("resistive")
    invoke("export", path, "--format", "csv", "-o", "map")
    recipe, chip, settings = RUNS["resistive"]
    nested = "".join(
        f"{key} = {value if value[0] in '0123456789[' else json.dumps(value)}\n"
        for key, value in (s.split("=") for s in (*FEW, *settings))
    )
    text = f'preset = "{recipe}"\nchip.preset = "{chip}"\n{nested}'
    (tmp_path / "same.toml").write_text(text)
    back = invoke("import", "map", "--format", "csv", "--network", "same.toml", "-o", "back.h5")
    assert back.exit_code == 0, back.stderr
    assert errors(invoke, "back.h5") == errors(invoke, path)
    again = invoke("import", "map", "--format", "csv", "--network", "same.toml", "-o", "back.h5")
    assert (again.exit_code, again.stderr) == (
        2,
        "error: back.h5: exists; use --force to replace it\n",
    )


def test_on_another_chip(invoke, trained):
    path = trained("feedforward")
    words = "export", path, "--format", "npz", "--chip", "epiram", "-o", "map.npz"
    done = invoke(*words, "--verify")
    assert done.exit_code == 0, done.stderr
    words = "import", "map.npz", "--format", "npz", "--network", path, "-o", "back.h5"
    refused = invoke(*words)
    assert refused.exit_code == 2
    assert "the file is for the chip epiram, the network on ecram: see --chip" in refused.stderr
    back = invoke(*words, "--chip", "epiram", "--json")
    assert back.exit_code == 0, back.stderr
    result = invoke("evaluate", path, "--chip", "epiram", "--json")
    expected = json.loads(result.stdout)["test_error"]
    assert json.loads(back.stdout)["programmed_test_error"] == expected


def test_read_outs_are_shown_as_a_run(invoke, trained, tmp_path):
    path = trained("hopfield")
    invoke("export", path, "--format", "csv", "--layer", "2", "-o", "map")
    rng = np.random.default_rng(0)
    table = ["array,word_line,bit_line,g_S"]
    for row in (tmp_path / "map/cells.csv").read_text().splitlines()[1:]:
        *place, g = row.split(",")[:4]
        table.append(f"{','.join(place)},{float(g) * rng.normal(1, 0.1):.4g}")
    (tmp_path / "read.csv").write_text("\n".join(table))
    words = "--format", "measured", "--network", path, "-o", "read.h5"
    back = invoke("import", "read.csv", *words)
    assert back.exit_code == 0, back.stderr
    run, trained_run = run_file.load("read.h5"), run_file.load(path)
    np.testing.assert_array_equal(
        run.arrays[0]["conductance"], trained_run.arrays[0]["conductance"]
    )
    assert (run.arrays[1]["conductance_0"] != trained_run.arrays[1]["conductance_0"]).any()
    assert invoke("info", "read.h5").exit_code == 0


def test_verify_says_what_is_different(invoke, trained):
    words = "export", trained("resistive"), "--format", "mem", "--set", "bits=1", "-o", "map"
    done = invoke(*words, "--verify")
    assert done.exit_code == 1
    assert done.stderr.startswith("different: ")
    assert "of 100 test images have the same prediction, outputs differ by at most" in done.stderr


def test_refusals(invoke, trained, tmp_path):
    path = trained("feedforward")
    (tmp_path / "there.h5").write_text("mine")
    for words, message in (
        (("--format", "hdf5", "-o", "there.h5"), "there.h5: exists; use --force to replace it"),
        (("--format", "hdf4", "-o", "x"), 'format = "hdf4": unknown; did you mean hdf5?'),
        (("--format", "measured", "-o", "x"), "format = measured: is read only"),
        (("--format", "npz", "--layer", "4", "-o", "x"), "layer = 4: there are layer1, layer2"),
        (("--format", "npz", "--set", "a=1", "-o", "x"), "format npz: a = 1: unknown key"),
    ):
        done = invoke("export", path, *words)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: {message}")
    assert (tmp_path / "there.h5").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there.h5"]


def test_a_chip_with_too_few_tiles(invoke, trained, tmp_path):
    text = 'preset = "epiram"\n[mapping]\ntile = 16\ntiles = 5\n'
    (tmp_path / "small.toml").write_text(text)
    words = "--chip", "small.toml", "--format", "npz", "-o", "x"
    done = invoke("export", trained("feedforward"), *words)
    # 64 inputs in 4 tiles, and 8 in one, each twice for positive and negative.
    assert (done.exit_code, done.stderr) == (
        2,
        "error: mapping.tiles = 5: the network takes 10 tiles of 16 × 16: 5 are missing\n",
    )


def test_formats_are_listed(invoke):
    result = invoke("list", "formats", "--json")
    assert result.exit_code == 0
    found = {each["name"]: each for each in json.loads(result.stdout)}
    assert found["hdf5"]["lossless"]
    assert not found["measured"]["writes"]
