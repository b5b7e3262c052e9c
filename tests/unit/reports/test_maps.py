"""Pages of weight maps: which tiles are drawn, which cells are marked, what the tables say."""

import re

import numpy as np
import pytest

from neurohw.reports import maps
from neurohw.reports.maps import TilePicture, chosen, render


def picture(name="layer1-0-0", *, words=6, bits=4, reached=True, tolerance=0.2e-6, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.uniform(1e-6, 11e-6, (words, bits))
    target[:, -1] = np.nan
    stuck = np.zeros(target.shape, bool)
    stuck[2, 1] = True
    error = np.zeros(target.shape)
    error[4, 0], error[2, 1], error[1, 2] = 3e-6, -5e-6, 0.1e-6
    return TilePicture(
        name=name,
        target=target,
        reached=target + error if reached else None,
        stuck=stuck,
        window=(1e-6, 11e-6),
        tolerance=tolerance,
    )


def test_errors_are_of_the_range_and_the_worst_come_first():
    tile = picture()
    assert tile.worst().tolist() == [[2, 1], [4, 0], [1, 2]]
    assert tile.error[2, 1] == pytest.approx(-0.5)
    assert np.argwhere(tile.out).tolist() == [[2, 1], [4, 0]]
    # Stuck cells have a mark of their own.
    assert tile.most_out().tolist() == [[4, 0]]
    assert picture(reached=False).worst().tolist() == []


def test_the_page_has_a_row_a_tile_and_a_table_of_the_worst():
    page = render("chip, as programmed", "a run.", [picture()])
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", page)
    text = [re.sub(r"<[^>]*>", "|", row) for row in rows]
    # 18 of 24 cells have weights; r.m.s. over them.
    rms = 100 * np.sqrt((0.3**2 + 0.5**2 + 0.01**2) / 18)
    assert text[0].split("||") == [
        "layer1-0-0", "6 × 4", "18", "1", f"{rms:.2f} %", "50.00 %", "2|"
    ]  # fmt: skip
    assert [row.split("||")[0] for row in text[1:]] == ["2", "4", "1"]
    assert [row.split("||")[-1] for row in text[1:]] == ["stuck|", "out|", "within|"]
    assert "−50.00 %" in page and page.count("<figure>") == 2
    assert "Marked: 1 stuck; 1 out of tolerance; 3 largest errors." in page


def test_without_programming_only_targets_are_drawn():
    page = render("chip", "a run.", [picture(reached=False)])
    assert page.count("<figure>") == 1 and "Largest errors" not in page
    assert "target conductance" in page and "Marked: 1 stuck." in page


def test_of_many_tiles_those_furthest_off_are_drawn(monkeypatch):
    tiles = [picture(f"t{k}", reached=k == 3) for k in range(6)]
    monkeypatch.setattr(maps, "MOST_TILES", 2)
    assert [tile.name for tile in chosen(tiles)] == ["t0", "t3"]
    page = render("chip", "a run.", tiles)
    assert "4 of 6 tiles are not drawn" in page
    assert [f'<section id="t{k}">' in page for k in range(6)] == [k in (0, 3) for k in range(6)]


def test_large_tiles_and_cells_without_limits_are_drawn():
    tile = picture(words=300, tolerance=None)
    open_ended = TilePicture(
        name="signed",
        target=np.linspace(-1e-6, 2e-6, 12).reshape(4, 3),
        reached=None,
        stuck=np.zeros((4, 3), bool),
        window=(0.0, np.inf),
        tolerance=None,
    )
    page = render("chip", "a run.", [tile, open_ended])
    assert "150 × 4 of its cells" in page
    assert open_ended.span == 2e-6
