"""Compiling the kernels or finding them in the cache makes no difference to a single bit."""

import os
import subprocess
import sys

import pytest

TRAIN = """
from neurohw.experiments import configuration, run_file, trainer
for chip in ("ideal", "epiram"):
    settings = ["learning.variant=positive", "data.train=400"]
    experiment = configuration.load("drn-digits", chip=chip, settings=settings, epochs=2)
    print(run_file.checksum(trainer.train(experiment)))
"""


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_compiled_and_cached_kernels_agree(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    results = [
        subprocess.run(
            [sys.executable, "-c", TRAIN],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for _ in range(2)
    ]
    assert any(tmp_path.rglob("*.nbc"))
    assert len(results[0].split()) == 2
    assert results[0] == results[1]
