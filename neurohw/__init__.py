"""Will equilibrium propagation learn on your chip? neurohw answers before tape-out.

It trains networks in the physics of the circuit: free phase, nudged phase, local update, on the
devices that the chip will have. The names here are the public interface.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurohw import datasets as datasets
    from neurohw.devices.device import MemoryDevice as MemoryDevice
    from neurohw.devices.fitting.device_fit import DeviceFit as DeviceFit
    from neurohw.devices.fitting.device_fit import fit_device as fit_device
    from neurohw.devices.memory import load as load_device
    from neurohw.errors import NeurohwError as NeurohwError
    from neurohw.experiments.configuration import load as load_recipe
    from neurohw.experiments.estimate import estimate as estimate
    from neurohw.experiments.evaluation import evaluate as evaluate
    from neurohw.experiments.experiment import Experiment as Experiment
    from neurohw.experiments.run_file import Run as Run
    from neurohw.experiments.run_file import load as load_run
    from neurohw.experiments.run_file import save as save_run
    from neurohw.experiments.studies.sweep import sweep as sweep
    from neurohw.experiments.studies.tolerance import tolerance as tolerance
    from neurohw.experiments.trainer import Progress as Progress
    from neurohw.experiments.trainer import train as train
    from neurohw.mappings.chip_specification import ChipSpecification as ChipSpecification
    from neurohw.mappings.chip_specification import load as load_chip
    from neurohw.reports.html import write as report

# Where each public name lives; imported when first used, so that `neurohw --help` is instant.
_HOMES = {
    "ChipSpecification": "neurohw.mappings.chip_specification",
    "DeviceFit": "neurohw.devices.fitting.device_fit",
    "Experiment": "neurohw.experiments.configuration",
    "MemoryDevice": "neurohw.devices.device",
    "NeurohwError": "neurohw.errors",
    "Progress": "neurohw.experiments.trainer",
    "Run": "neurohw.experiments.run_file",
    "estimate": "neurohw.experiments.estimate",
    "evaluate": "neurohw.experiments.evaluation",
    "fit_device": "neurohw.devices.fitting.device_fit",
    "load_chip": "neurohw.mappings.chip_specification:load",
    "load_device": "neurohw.devices.memory:load",
    "load_recipe": "neurohw.experiments.configuration:load",
    "load_run": "neurohw.experiments.run_file:load",
    "save_run": "neurohw.experiments.run_file:save",
    "sweep": "neurohw.experiments.studies.sweep",
    "tolerance": "neurohw.experiments.studies.tolerance",
    "train": "neurohw.experiments.trainer",
    "report": "neurohw.reports.html:write",
}

__all__ = [
    "ChipSpecification",
    "DeviceFit",
    "Experiment",
    "MemoryDevice",
    "NeurohwError",
    "Progress",
    "Run",
    "datasets",
    "estimate",
    "evaluate",
    "fit_device",
    "load_chip",
    "load_device",
    "load_recipe",
    "load_run",
    "report",
    "save_run",
    "sweep",
    "tolerance",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "datasets":
        return import_module("neurohw.datasets")
    if name not in _HOMES:
        raise AttributeError(f"module 'neurohw' has no attribute '{name}'")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute or name)
