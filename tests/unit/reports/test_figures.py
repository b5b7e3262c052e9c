"""Figures at the edges of what they are given."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from neurohw.reports.figures import Draughtsman, receptive_fields


def test_receptive_fields_are_the_difference_of_the_halves():
    conductance = np.arange(2 * 18, dtype=np.float32).reshape(2, 18) ** 2
    image, shown = receptive_fields(conductance, (3, 3), 12, 4)
    assert shown == 2
    expected = (conductance[1, :9] - conductance[1, 9:]).reshape(3, 3)
    np.testing.assert_array_equal(image[:3, 4:7], expected)
    assert np.isnan(image[:, 3]).all()


@pytest.mark.parametrize("order", ["channels first", "channels last"])
def test_receptive_fields_in_colour(order):
    fields = np.arange(2 * 3 * 4 * 5, dtype=float).reshape(2, 3, 4, 5)
    shape = (3, 4, 5)
    stored = fields
    if order == "channels last":
        shape, stored = (4, 5, 3), np.moveaxis(fields, 1, 3)
    image, shown = receptive_fields(stored.reshape(2, -1), shape, 12, 4)
    assert shown == 2 and image.shape == (4, 4 * 6 - 1, 3)
    np.testing.assert_array_equal(image[:, 6:11], np.moveaxis(fields[1], 0, 2))
    assert np.isnan(image[:, 5]).all()


@pytest.mark.parametrize(
    ("shape", "caption"),
    [
        ("3×4×8", "as 4 × 8 images in colour"),
        ("4×8×3", "as 4 × 8 images in colour"),
        ("12×8", "as 12 × 8 images."),
        ("12×8×1", "as 12 × 8 images."),
        ("96", "every cell"),
        ("1×96", "every cell"),
        ("5×5", "every cell"),
    ],
)
def test_maps_follow_the_shape_of_the_images(make_run, shape, caption):
    run = make_run(inputs=2 * 96)
    run.dataset["image_shape"] = shape
    drawing = Draughtsman().map(run, 0)
    ElementTree.fromstring(drawing.svg)
    assert caption in drawing.caption


@pytest.mark.parametrize("shape", [(1, 1), (3, 10), (300, 700), (5, 2), (20, 18)])
def test_any_shape_and_constant_arrays(make_run, shape):
    run = make_run(chip="epiram")
    pen = Draughtsman()
    run.arrays[0]["conductance"] = np.full(shape, 1e-6, dtype=np.float32)
    for drawing in (pen.map(run, 0), pen.histogram(run, 0, 0)):
        ElementTree.fromstring(drawing.svg)
        assert "every cell" not in drawing.caption or max(shape) <= 256


def test_zero_array_of_an_ideal_device(make_run):
    run = make_run()
    run.arrays[0]["conductance"] = np.zeros((4, 8))
    pen = Draughtsman()
    ElementTree.fromstring(pen.histogram(run, 0, 0).svg)
    ElementTree.fromstring(pen.map(run, 0).svg)


def test_cells_beyond_nominal_limits_are_counted(make_run):
    run = make_run(chip="epiram")
    run.arrays[1]["conductance"] = run.arrays[1]["conductance"] * 3
    assert "largest" in Draughtsman().histogram(run, 1, 0).alt


@pytest.mark.parametrize("errors", [[0.0, 0.0], [np.nan, 0.1], [0.9, 0.01], [0.5]])
def test_any_errors(make_run, errors):
    run = make_run()
    run.history["test_error"] = np.array(errors)
    drawing = Draughtsman().error([run, make_run(epochs=0)], "test_error", "Test error")
    ElementTree.fromstring(drawing.svg)
    assert f"{100 * errors[-1]:.2f} %" in drawing.alt
