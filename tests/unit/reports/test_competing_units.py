"""What a report shows of units that learn by competing."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from neurohw.experiments import configuration, trainer
from neurohw.reports import html, summary
from neurohw.reports.figures import Draughtsman


@pytest.fixture(scope="module")
def run():
    settings = (
        *("data.name=digits", "data.train=100", "network.hidden=[120]", "training.batch=20"),
        "learning.competition.epochs=1",
    )
    return trainer.train(configuration.load("krotov-hopfield-demo", settings=settings, epochs=2))


def test_the_weights_of_a_hundred_units_are_drawn_each_by_its_own_size(run):
    drawing = Draughtsman().map(run, 0)
    ElementTree.fromstring(drawing.svg)
    assert "100 of 120 units, weights, each unit relative to its largest" in drawing.caption
    run.arrays[0]["conductance"][3] = 0.0
    ElementTree.fromstring(Draughtsman().map(run, 0).svg)


def test_dead_and_settled_units_are_noted(run, tmp_path):
    dead, settled = run.history["dead_units"][-1], run.history["settled_units"][-1]
    assert np.isfinite([dead, settled]).all()
    (note,) = [line for line in summary.notes([run]) if "won no image" in line]
    assert f"{100 * dead:.1f} % of the hidden units won no image" in note
    page = html.write([run], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "won no image" in page
