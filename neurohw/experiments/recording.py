"""What a network looks like on its way: weights and activities at a few times of its training.

A recording is made beside the training, which it leaves as it is to the bit. Times are numbers of
mini-batches, evenly spaced in their logarithm, since learning slows down; the activities are those
of the same images at all times.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from neurohw.datasets import Dataset
from neurohw.errors import InvalidValueError, StudyError
from neurohw.experiments.step import Machine

Array = NDArray[np.floating]

FORMAT = "neurohw recording"
SCHEMA_VERSION = 1

TIMES, IMAGES = 21, 64


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """A network at some times.

    Parameters
    ----------
    times : (times,) array of int
        Mini-batches that were trained before.
    weights : list of (times, units, inputs) arrays
        Of each array as a digital read-out gives them, dimensionless.
    states : list of (times, images, units) arrays
        Of each layer, dimensionless.
    inputs : (images, pixels) array
        The images.
    labels : (images,) array of int
    """

    times: NDArray[np.integer]
    weights: list[Array]
    states: list[Array]
    inputs: Array
    labels: NDArray[np.integer]


def log_times(steps: int, count: int = TIMES) -> tuple[int, ...]:
    """Return 0 and `count` − 1 numbers from 1 to `steps`, evenly spaced in their logarithm.

    Rounded, and each at least one after the one before.

    Raises
    ------
    InvalidValueError
        So many different numbers there are not.
    """
    if not 2 <= count <= steps + 1:
        raise InvalidValueError(
            f"times = {count}: must be 2 or more, and at most {steps + 1}, one before the first"
            f" and one after each of {steps} mini-batches"
        )
    found = [0]
    for wanted in np.geomspace(1, steps, count - 1):
        # Those that are still to come need a number each.
        latest = steps - (count - 1 - len(found))
        found.append(min(max(round(float(wanted)), found[-1] + 1), latest))
    return tuple(found)


@dataclass(eq=False)
class Recorder:
    """What `trainer.train` calls after each mini-batch.

    times as `Recording` has them; dataset, whose first training images are shown to the network.
    """

    times: tuple[int, ...]
    dataset: Dataset
    images: int = IMAGES
    _weights: list[list[Array]] = field(default_factory=list, init=False)
    _states: list[list[Array]] = field(default_factory=list, init=False)

    def __call__(self, trained: int, machine: Machine) -> None:
        """Look at the machine, if it is time to, after so many mini-batches."""
        if trained in self.times:
            self._weights.append(machine.chip.logical()[0])
            self._states.append(machine.states(self.dataset.train_images[: self.images]))

    def recording(self) -> Recording:
        """Return what was seen; `StudyError` if not all times were."""
        if len(self._weights) != len(self.times):
            raise StudyError(
                f"{len(self._weights)} of {len(self.times)} times were recorded: a training that is"
                " resumed, or ends early, has no recording"
            )
        return Recording(
            times=np.array(self.times),
            weights=_stacked(self._weights),
            states=_stacked(self._states),
            inputs=np.asarray(self.dataset.train_images[: self.images], np.float32),
            labels=np.asarray(self.dataset.train_labels[: self.images]),
        )


def to_bytes(recording: Recording) -> bytes:
    """Return the HDF5 file of a recording."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="v110") as file:
        file.attrs["format"] = FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        for name in ("times", "inputs", "labels"):
            file[name] = getattr(recording, name)
        for name in ("weights", "states"):
            for k, values in enumerate(getattr(recording, name)):
                file.create_dataset(
                    f"{name}/{k}", data=values, shuffle=True, compression="gzip", compression_opts=1
                )
    return buffer.getvalue()


def load(path: Path) -> Recording:
    """Read a recording; `StudyError` if there is none."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") != FORMAT:
                raise StudyError(f"{path}: is no recording")
            version = file.attrs.get("schema_version")
            if version != SCHEMA_VERSION:
                raise StudyError(
                    f"{path}: schema_version = {version}: this neurohw reads {SCHEMA_VERSION}"
                )
            weights, states = (
                [file[name][str(k)][...] for k in range(len(file[name]))]
                for name in ("weights", "states")
            )
            return Recording(
                times=file["times"][...],
                weights=weights,
                states=states,
                inputs=file["inputs"][...],
                labels=file["labels"][...],
            )
    except (OSError, KeyError) as error:
        raise StudyError(
            f"{path}: cannot be read as a recording ({error}); delete it, and go on with --resume"
        ) from None


def _stacked(seen: list[list[Array]]) -> list[Array]:
    return [np.stack(layer).astype(np.float32) for layer in zip(*seen, strict=True)]
