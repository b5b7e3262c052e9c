"""Compiling the kernels or finding them in the cache makes no difference to a single bit."""

import os
import subprocess
import sys

import pytest

TRAIN = """
from neurohw.devices import kernels
from neurohw.experiments import configuration, run_file, trainer
few = ["learning.variant=positive", "data.train=200"]
rates = ["learning.learning_rate=0.02", "learning.bias_learning_rate=0.02"]
wide = [*few, *rates, "network.hidden=[400,350]"]
for chip, small, settings in (("ideal", 1 << 18, few), ("epiram", 0, wide), ("ideal", 0, wide)):
    kernels.SMALL = small
    experiment = configuration.load("drn-digits", chip=chip, settings=settings, epochs=1)
    print(run_file.checksum(trainer.train(experiment)))
"""


@pytest.mark.soak
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_compiled_and_cached_kernels_agree(tmp_path):
    """Small arrays on one thread, large ones in blocks and in parallel passes."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    results = [
        subprocess.run(
            [sys.executable, "-c", TRAIN],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        ).stdout
        for _ in range(2)
    ]
    assert any(tmp_path.rglob("*.nbc"))
    assert len(set(results[0].split())) == 3
    assert results[0] == results[1]
