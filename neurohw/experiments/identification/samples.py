"""Recordings as samples for classifiers: a row a layer, a column a statistic at a time.

What is observed may be less than all: some of the units, with noise, at some of the times.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError, StudyError
from neurohw.experiments import recording
from neurohw.experiments.identification import statistics
from neurohw.experiments.identification.observation import Observed
from neurohw.experiments.recording import Recording
from neurohw.experiments.studies import jobs

Array = NDArray[np.floating]

POSITIONS = ("early", "middle", "deep")
OBSERVABLES = ("weights", "activities")
# Share of the images below which a network is left out.
_LEAST_SETTLED = 0.5
FORMAT = "neurohw identification samples"
SCHEMA_VERSION = 1


class View(msgspec.Struct, frozen=True, kw_only=True):
    """How much is seen.

    Parameters
    ----------
    units : float
        Share of the units of each layer that are observed, the same at all times; at least 2. Of
        their weights all are, from whichever units they come.
    noise : float
        Standard deviation of what measuring adds, relative to the root mean square of what is
        measured in the layer.
    """

    units: float = 1.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.units <= 1:
            raise InvalidValueError(f"units = {self.units:g}: must be above 0, at most 1")
        if not self.noise >= 0:
            raise InvalidValueError(f"noise = {self.noise:g}: must be 0 or more")


WHOLE = View()


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """What classifiers learn from.

    Parameters
    ----------
    weights, activities : (rows, times, statistics) arrays
        See `statistics`.
    curves : (rows, times, 2) array
        Share of wrong answers to the images, and mean squared error: how far the network is.
    positions : (rows, 3) array
        One-hot; see `POSITIONS`.
    rules, kinds, hidden, chips : (rows,) arrays of str
        kinds, of networks.
    numbers : (rows,) array of int
        Of the draws, which networks of all rules share.
    layers : (rows,) array of int
    errors : (rows,) array
        Test error of the network.
    """

    weights: NDArray[np.float64]
    activities: NDArray[np.float64]
    curves: NDArray[np.float64]
    positions: NDArray[np.float64]
    rules: NDArray[np.str_]
    kinds: NDArray[np.str_]
    hidden: NDArray[np.str_]
    chips: NDArray[np.str_]
    numbers: NDArray[np.int_]
    layers: NDArray[np.int_]
    errors: NDArray[np.float64]

    @property
    def names(self) -> list[str]:
        """The rules, in alphabetical order."""
        return sorted(set(self.rules.tolist()))

    def rows(self, which: NDArray[np.bool_]) -> "Samples":
        """Return some of the rows."""
        return Samples(**{key: getattr(self, key)[which] for key in self.__dataclass_fields__})

    def columns(
        self, observables: Sequence[str], times: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Return the (rows, columns) features of some observables, at all or some times.

        observables, names of the arrays with statistics; the position is always the last.
        """
        parts = []
        for name in observables:
            values = getattr(self, name)
            chosen = values if times is None else values[:, list(times)]
            parts.append(chosen.reshape(len(values), -1))
        return np.concatenate([*parts, self.positions], axis=1)


def gather(observed: Sequence[Observed], view: View = WHOLE) -> Samples:
    """Return the samples of networks that were trained to their end.

    Raises
    ------
    StudyError
        There are none, or a recording cannot be read.
    """
    rows: list[dict[str, object]] = []
    for network in observed:
        if network.outcome.status == "done":
            rows += _rows(network, recording.load(network.recording), view)
    if not rows:
        raise StudyError("no network was trained to its end")
    columns: dict[str, Any] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return Samples(**columns)


def save(samples: Samples, path: Path) -> Path:
    """Write samples as HDF5, whole or not at all; `StudyError` if that fails."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="v110") as file:
        file.attrs["format"] = FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["weights_statistics"] = list(statistics.WEIGHTS)
        file.attrs["activities_statistics"] = list(statistics.ACTIVITIES)
        file.attrs["positions"] = list(POSITIONS)
        for key in Samples.__dataclass_fields__:
            values = getattr(samples, key)
            file[key] = np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values
    jobs.replace(path, buffer.getvalue())
    return path


def load(path: Path) -> Samples:
    """Read samples back; `StudyError` if there are none."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") != FORMAT:
                raise StudyError(f"{path}: holds no samples")
            if (version := file.attrs.get("schema_version")) != SCHEMA_VERSION:
                raise StudyError(
                    f"{path}: schema_version = {version}: this neurohw reads {SCHEMA_VERSION}"
                )
            found = {key: file[key][...] for key in Samples.__dataclass_fields__}
    except (OSError, KeyError) as error:
        raise StudyError(f"{path}: cannot be read as samples: {error}") from None
    columns: dict[str, Any] = {
        key: np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
        for key, values in found.items()
    }
    return Samples(**columns)


def _rows(network: Observed, seen: Recording, view: View) -> list[dict[str, object]]:
    """Return the rows of a network, one a layer; none of one that came to no numbers.

    Images that did not settle at some time are left out at all, half of them at most.
    """
    settled = np.logical_and.reduce(
        [np.isfinite(layer).all(axis=(0, 2)) for layer in seen.states], axis=0
    )
    if settled.mean() < _LEAST_SETTLED or not all(np.isfinite(w).all() for w in seen.weights):
        return []
    seen = replace(
        seen,
        states=[layer[:, settled] for layer in seen.states],
        inputs=seen.inputs[settled],
        labels=seen.labels[settled],
    )
    draw = network.network
    rng = np.random.default_rng([draw.number, *network.rule.encode()])
    chosen = [_some(states.shape[2], view.units, rng) for states in seen.states]
    states = [
        _measured(layer[:, :, units], view.noise, rng)
        for layer, units in zip(seen.states, chosen, strict=True)
    ]
    below: list[Array] = [seen.inputs, *states[:-1]]
    curve = _curve(seen)
    rows = []
    for k, weights in enumerate(seen.weights):
        synapses = _measured(weights.reshape(*weights.shape[:2], -1)[:, chosen[k]], view.noise, rng)
        rows.append(
            {
                "weights": statistics.of_values(synapses),
                "activities": np.concatenate(
                    [
                        statistics.of_values(states[k]),
                        statistics.of_slopes(states[k], below[k]),
                    ],
                    axis=1,
                ),
                "curves": curve,
                "positions": np.eye(len(POSITIONS))[_position(k, len(seen.weights))],
                "rules": network.rule,
                "kinds": network.kind,
                "hidden": "-".join(map(str, draw.hidden)),
                "chips": draw.chip,
                "numbers": draw.number,
                "layers": k,
                "errors": network.outcome.test_error,
            }
        )
    return rows


def _some(units: int, share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    count = max(min(2, units), round(share * units))
    return np.sort(rng.choice(units, count, replace=False))


def _measured(values: Array, noise: float, rng: np.random.Generator) -> Array:
    if noise == 0:
        return values
    size = noise * np.sqrt(np.mean(np.square(values, dtype=np.float64)))
    return np.asarray(values + size * rng.standard_normal(values.shape))


def _curve(seen: Recording) -> NDArray[np.float64]:
    """Return the share of wrong answers and the mean squared error at each time, (times, 2)."""
    outputs = seen.states[-1].astype(np.float64)
    wrong = (outputs.argmax(axis=2) != seen.labels).mean(axis=1)
    miss = outputs - np.eye(outputs.shape[2])[seen.labels]
    return np.stack([wrong, (miss**2).mean(axis=(1, 2))], axis=1)


def _position(layer: int, layers: int) -> int:
    """Return which of `POSITIONS` a layer has: the first, the last, or one between."""
    if layer == 0:
        return 0
    return 2 if layer == layers - 1 else 1
