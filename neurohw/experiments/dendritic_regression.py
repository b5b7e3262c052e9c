"""A dendritic microcircuit in time learns to predict itself, then a regression.

The task of Sacramento et al.: a student of 30-50-10 neurons with the rate 0.1·ln(1 + e^(u − 3)) is
to give the outputs of a teacher of 30-20-10 of the same kind, for patterns between −1 and 1. The
weights of its interneurons start at random. First there is no teacher, and only lateral weights
learn, until apical dendrites are nearly silent; then outputs are taught, and basal weights learn,
too. Top-down weights never do.

Scales of weights, rates and times are ours, so that rates vary and learning takes minutes.

References
----------
Sacramento, Costa, Bengio, Senn (2018), "Dendritic cortical microcircuits approximate the
backpropagation algorithm", NeurIPS: an angle of about 45° between forward and feedback weights.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.engines.dendritic import DendriticEngine, LearningRates, Membranes, State
from neurohw.networks.microcircuit import Microcircuit, soft_plus

Array = NDArray[np.floating]

_TESTED = 200
# Patterns after which rates decay.
_DECAYED = 1000
# Of the teacher's and the student's weights, from the inputs up, and of the lateral ones.
_TEACHER, _STUDENT, _TOP_DOWN = (2.0, 3.0), (2.0, 1.5), 1.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """Sizes, lengths and learning rates.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, hidden neurons, outputs.
    teacher : int
        Hidden neurons of the teacher.
    alone, taught : int
        Patterns without and with a teacher.
    time, gate : float [s]
        Of a pattern, and at its start, while membranes settle, without learning.
    rates_alone, rates_taught : tuples of float [1/s]
        Of weights from and to interneurons; and of basal weights from the inputs and from the
        hidden neurons, from and to interneurons.
    decay : float
        Factor on the rates of basal weights after every 1000 patterns with a teacher.
    """

    sizes: tuple[int, int, int] = (30, 50, 10)
    teacher: int = 20
    alone: int = 1500
    taught: int = 15000
    time: float = 0.05
    gate: float = 0.01
    rates_alone: tuple[float, float] = (2000.0, 5000.0)
    rates_taught: tuple[float, float, float, float] = (8000.0, 1200.0, 300.0, 5000.0)
    decay: float = 0.88

    def rates(self, pattern: int) -> LearningRates:
        """Return the learning rates at a pattern, counted from 0."""
        if pattern < self.alone:
            (lateral, interneurons), low, high = self.rates_alone, 0.0, 0.0
        else:
            low, high, lateral, interneurons = self.rates_taught
        factor = self.decay ** (max(0, pattern - self.alone) // _DECAYED)
        return LearningRates(
            basal=(low * factor, high * factor),
            top_down=(0.0,),
            from_interneurons=(lateral,),
            to_interneurons=(interneurons,),
        )


@dataclass(eq=False)
class Course:
    """What was found after so many patterns.

    apical, root mean square of the apical dendrites' voltage, of every pattern; and every so many
    patterns: patterns, how many there were; mismatch, of the weights to interneurons, and of those
    from them, to the self-predicting state, relative; error, of the outputs without a teacher on
    patterns of their own, as a share of the variance of the targets; angle of the weights from
    hidden neurons to outputs to the transpose of the top-down ones [deg].
    """

    apical: list[float] = field(default_factory=list)
    patterns: list[int] = field(default_factory=list)
    mismatch: list[tuple[float, float]] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    angle: list[float] = field(default_factory=list)


def learn(
    engine: type[DendriticEngine],
    task: Task,
    *,
    membranes: Membranes | None = None,
    seed: int = 0,
    every: int = 100,
    progress: Callable[[int], None] | None = None,
) -> Course:
    """Show all patterns, and return what became of the circuit.

    Parameters
    ----------
    engine : type of DendriticEngine
        Readable or compiled.
    task : Task
    membranes : Membranes, optional
        Without noise if not given.
    seed : int
        Of all weights, patterns and noise.
    every : int
        Patterns between two looks at the weights.
    progress : callable, optional
        Called with the number of patterns shown.
    """
    membranes = membranes or Membranes()
    inputs, hidden, outputs = task.sizes
    first = _scaled(seed, 0, (task.teacher, inputs), _TEACHER[0])
    second = _scaled(seed, 1, (outputs, task.teacher), _TEACHER[1])

    def teacher(x: Array) -> Array:
        return soft_plus(x @ first.T) @ second.T

    circuit = Microcircuit(
        basal=[
            _scaled(seed, 2, (hidden, inputs), _STUDENT[0]),
            _scaled(seed, 3, (outputs, hidden), _STUDENT[1]),
        ],
        top_down=[_scaled(seed, 4, (hidden, outputs), _TOP_DOWN)],
        from_interneurons=[_scaled(seed, 5, (hidden, outputs), _TOP_DOWN)],
        to_interneurons=[_scaled(seed, 6, (outputs, hidden), _STUDENT[1])],
        thresholds=[],
        interneuron_thresholds=[],
    )
    shown = _scaled(seed, 7, (task.alone + task.taught, inputs), 1.0)
    tested = _scaled(seed, 8, (_TESTED, inputs), 1.0)
    state, course, wanted = State(circuit), Course(), teacher(tested)
    solver = engine(membranes, task.rates(0), seed)
    for k, pattern in enumerate(shown):
        if k % every == 0:
            _look(course, circuit, k, tested, wanted)
        taught = k >= task.alone
        if taught and (k - task.alone) % _DECAYED == 0:
            solver = engine(membranes, task.rates(k), seed)
        found = solver.present(
            state,
            pattern,
            teacher(pattern) if taught else None,
            time=task.time,
            gate=task.gate,
            event=k,
        )
        course.apical.append(float(found.apical[0]))
        if progress is not None:
            progress(k + 1)
    _look(course, circuit, len(shown), tested, wanted)
    return course


def _look(course: Course, circuit: Microcircuit, shown: int, tested: Array, wanted: Array) -> None:
    w, down = circuit.basal[1], circuit.top_down[0]
    course.patterns.append(shown)
    course.mismatch.append(
        (
            float(np.linalg.norm(circuit.to_interneurons[0] - w) / np.linalg.norm(w)),
            float(np.linalg.norm(circuit.from_interneurons[0] + down) / np.linalg.norm(down)),
        )
    )
    found = soft_plus(tested @ circuit.basal[0].T) @ w.T
    course.error.append(float(np.mean((found - wanted) ** 2) / np.var(wanted)))
    cosine = np.sum(w * down.T) / (np.linalg.norm(w) * np.linalg.norm(down))
    course.angle.append(float(np.degrees(np.arccos(cosine))))


def _scaled(seed: int, number: int, shape: tuple[int, int], scale: float) -> Array:
    """Return draws uniform between ± scale."""
    cells = np.arange(shape[0] * shape[1]).reshape(shape)
    key = randomness.key(randomness.stream(seed, "microcircuit", number))
    return np.asarray((2.0 * randomness.uniforms(key, cells).astype(np.float64) - 1.0) * scale)
