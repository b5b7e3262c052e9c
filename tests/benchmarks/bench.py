"""Measure the speed that the project promises; print one table and keep it as JSON.

Everything compared takes turns in one run: between machines times move by half, ratios less.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hopfield
import passes
import processes
import rules
import spice
import training
import wires
from table import Row, keep, machine, show


def main() -> None:
    """Run every measurement, the ones in processes of their own first, while memory is empty."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: only to see it work")
    parser.add_argument("--only", default="", help="measure what has this in its name")
    parser.add_argument("--out", type=Path, default=Path("runs/bench.json"))
    options = parser.parse_args()
    rows: list[Row] = []
    begun = time.perf_counter()
    print(f"{machine()}{', quick: not to be relied on' if options.quick else ''}", file=sys.stderr)
    for name, measure in measurements(quick=options.quick).items():
        if options.only not in name:
            continue
        print(f"{time.perf_counter() - begun:5.0f} s  {name}", file=sys.stderr, flush=True)
        rows += measure()
    print(show(rows))
    keep(options.out, rows, quick=options.quick)
    print(f"{options.out} written after {time.perf_counter() - begun:.0f} s", file=sys.stderr)


def measurements(*, quick: bool) -> dict[str, Callable[[], list[Row]]]:
    """Return what to measure, in order."""
    rounds = 2 if quick else 9
    cells = 1e7 if quick else 1e8
    found: dict[str, Callable[[], list[Row]]] = {
        "neurohw --help": partial(processes.help_time, rounds=3 if quick else 15),
        "drn-xl": partial(processes.largest_network, steps=20 if quick else 200),
        "drn-1h": partial(
            training.against_numpy, "drn-1h", 3.5, 12, steps=20 if quick else 200, rounds=rounds
        ),
        "drn-xs": partial(
            training.against_numpy, "drn-xs", 2.5, 1.5, steps=100 if quick else 2000, rounds=rounds
        ),
    }
    for recipe in ("drn-2h", "drn-3h"):
        found[recipe] = partial(training.deeper, recipe, steps=10 if quick else 100, rounds=rounds)
    for depth in (1, 2, 3):
        found[f"hopfield, ep-{depth}h to rest"] = partial(
            hopfield.to_rest, depth, rounds=min(rounds, 3)
        )
        found[f"hopfield, ep-{depth}h sweeps"] = partial(
            hopfield.against_products, depth, rounds=rounds
        )
        found[f"hopfield, ep-{depth}h minima"] = partial(
            hopfield.partings, depth, images=20 if quick else 200
        )
    for recipe in rules.RECIPES:
        found[f"rule, {recipe}"] = partial(
            rules.against_products, recipe, steps=5 if quick else 50, rounds=rounds
        )
    for name in passes.SIZES:
        found[f"fused pass, {name}"] = partial(
            passes.against_bandwidth, name, cells=2 * cells, rounds=rounds
        )
    for name in passes.PROGRAMMED:
        found[f"device step, {name}"] = partial(
            passes.device_cost, name, cells=cells, rounds=rounds
        )
    for name in passes.SAMPLED:
        found[f"device step, pulse trains, {name}"] = partial(
            passes.per_sample_cost, name, cells=cells, rounds=rounds
        )
    for side in (64, 128):
        found[f"wires, {side}²"] = partial(wires.against_lu, side, rounds=rounds)
        found[f"badcrossbar, {side}²"] = partial(wires.against_badcrossbar, side, rounds=rounds)
    found["wires, accuracy"] = wires.accuracy
    for recipe, chip in (("drn-xs", "ideal"), ("drn-xs", "epiram"), ("drn-1h", "ideal")):
        found[f"wires, {recipe} on {chip}"] = partial(
            wires.training_step, recipe, chip, steps=100 if quick else 500
        )
    # The last takes ngspice minutes.
    for name in list(spice.NETWORKS)[: 3 if quick else 4]:
        found[f"ngspice, {name}"] = partial(spice.against_ngspice, name, rounds=rounds)
    return found


if __name__ == "__main__":
    main()
