"""Train drn-xl for some mini-batches in a process of its own; print times and memory as JSON."""

import json
import resource
import sys
import time
from statistics import median

from threadpoolctl import threadpool_limits
from training import fused_steps, started

WARM_UP, PART = 10, 10


def main(steps: int) -> None:
    """Measure so many mini-batches, in parts of ten."""
    begun = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"):
        step = fused_steps(started("drn-xl"))
        for _ in range(WARM_UP):
            step()
        built = time.perf_counter() - begun
        parts = []
        for _ in range(steps // PART):
            begun = time.perf_counter()
            for _ in range(PART):
                step()
            parts.append((time.perf_counter() - begun) / PART)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": median(parts), "built": built, "peak_bytes": peak}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
