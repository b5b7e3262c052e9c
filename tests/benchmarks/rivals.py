"""Train the rival rules at their published sizes: `python tests/benchmarks/rivals.py PART...`.

A part is a name of `RUNS`, or `held-out:NAME`, which keeps 10,000 training images out, whose error
stands in place of the test set's; `table` shows what is there, and `all` trains every part, in the
order of `RUNS`. Finished runs are not repeated, interrupted ones go on. Runs lie in runs/rivals.
"""

import sys
from pathlib import Path

from founding import show, train

from neurohw.experiments import configuration

FOLDER = Path("runs/rivals")

_FROZEN = ("learning.learning_rate=[0,0.2]", "learning.bias_learning_rate=[0,0.2]")
_BACK = ("learning.rule=backpropagation",)
# Recipe, epochs, settings; controls stand beside what they belong to.
RUNS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "brainprop-1h": ("brainprop-1h", 40, ("learning.learning_rate_decay=0.97",)),
    "brainprop-1h-backpropagation": (
        "brainprop-1h",
        40,
        (*_BACK, "learning.learning_rate_decay=0.97"),
    ),
    "mlp-2h": ("mlp-2h", 30, ("learning.learning_rate_decay=0.9",)),
    "mlp-2h-rectified": (
        "mlp-1h",
        30,
        ("network.hidden=[500,500]", "learning.weight_decay=5e-4"),
    ),
    "fa-1h": ("fa-1h", 60, ()),
    "fa-1h-frozen": ("fa-1h", 60, _FROZEN),
    "brainprop-3h": ("brainprop-3h", 30, ()),
    "brainprop-3h-backpropagation": ("brainprop-3h", 30, _BACK),
    "burst-3h": ("burst-3h", 40, ()),
    "krotov-hopfield-random": (
        "krotov-hopfield",
        30,
        (
            "learning.competition.epochs=0",
            "network.initial_deviation=0.093",
            "network.power.unit_sum=1.25",
        ),
    ),
    "krotov-hopfield-end-to-end": ("krotov-hopfield-end-to-end", 20, ()),
    "krotov-hopfield-stack": ("krotov-hopfield-stack", 30, ("learning.competition.epochs=10",)),
    "krotov-hopfield-stack-readout": (
        "krotov-hopfield-stack",
        60,
        ("learning.competition.epochs=0",),
    ),
    "krotov-hopfield": ("krotov-hopfield", 130, ()),
    "krotov-hopfield-readout": ("krotov-hopfield", 100, ("learning.competition.epochs=0",)),
    "krotov-hopfield-readout-2": ("krotov-hopfield", 100, ("learning.competition.epochs=0",)),
    "dendritic-2h": ("dendritic-2h", 60, ()),
    "dendritic-2h-frozen": (
        "dendritic-2h",
        60,
        (
            "learning.learning_rate=[2.0,0.0,0.08]",
            "learning.dendritic.interneuron_rate=[0.05,0.2]",
        ),
    ),
}
# Runs that others go on from.
STARTS = {
    "krotov-hopfield-stack-readout": "krotov-hopfield-stack",
    "krotov-hopfield-readout": "krotov-hopfield",
    "krotov-hopfield-readout-2": "krotov-hopfield-readout",
}


def run(name: str, *, held_out: bool = False) -> None:
    """Train a part, or go on with it."""
    recipe, epochs, settings = RUNS[name]
    apart = ("data.validation=10000",) if held_out else ()
    experiment = configuration.load(recipe, epochs=epochs, settings=(*settings, *apart))
    start = FOLDER / f"{STARTS[name]}.h5" if name in STARTS else None
    train(experiment, FOLDER / f"{'held-out-' if held_out else ''}{name}.h5", start)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:]:
        match part.split(":"):
            case ["table"]:
                show(FOLDER)
            case ["all"]:
                for name in RUNS:
                    run(name)
            case [name] if name in RUNS:
                run(name)
            case ["held-out", name] if name in RUNS:
                run(name, held_out=True)
            case _:
                sys.exit(f"{part}: no such part; there are table, all, {', '.join(RUNS)}")
