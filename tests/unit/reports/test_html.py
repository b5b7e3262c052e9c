"""The page as a whole: complete, self-contained, and true to the runs."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from neurohw.errors import RunFileError
from neurohw.experiments.configuration import load
from neurohw.experiments.estimate import estimate
from neurohw.experiments.run_file import checksum, save
from neurohw.experiments.trainer import train
from neurohw.reports.html import write
from neurohw.reports.summary import count, number, percent

SECTIONS = [
    *("headline", "curves", "gap", "conductances", "pulses", "scale", "physics", "costs"),
    "configuration",
]
VOID = {"meta", "link", "br", "hr", "img", "input"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)


class Page(HTMLParser):
    """Checks that every element is closed, and collects what tests ask for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.alts: list[str] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "object", "embed")
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "data"):
                self.loads.append(value or "")
            if name == "aria-label":
                self.alts.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def pair(make_run, tmp_path):
    """Ideal run, chip run, and the page about both."""
    ideal, chip = make_run(), make_run(chip="epiram", excess=0.018)
    save(tmp_path / "ideal.h5", ideal)
    out = write([tmp_path / "ideal.h5", chip], tmp_path / "report.html")
    return ideal, chip, Page(out)


def test_every_section_is_there_once(pair):
    page = pair[2]
    assert page.source.startswith("<!DOCTYPE html>")
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert len(set(page.ids)) == len(page.ids)


def test_page_loads_nothing(pair):
    page = pair[2]
    assert all(load.startswith(("#", "data:")) for load in page.loads)
    assert not re.search(r"https?://(?!www\.w3\.org/)", page.source)
    assert not re.search(r"@import|url\((?!#)", page.source)


def test_every_figure_has_words_and_refers_to_its_own_parts(pair):
    page = pair[2]
    assert len(page.alts) == page.source.count("<figure>") == 2 + 1 + 2 * 4
    assert all(len(alt) > 30 for alt in page.alts)
    used = {load[1:] for load in page.loads if load.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]*)\)", page.source))
    assert used and used <= set(page.ids)


def test_figures_follow_the_page(pair):
    page = pair[2]
    assert "var(--ink)" in page.source and "var(--series-1)" in page.source
    assert not re.search("#0[123]0[0-9a-f]{3}", page.source)
    assert "prefers-color-scheme: dark" in page.source and "@media print" in page.source
    assert 'name="viewport"' in page.source


def test_numbers_are_those_of_the_runs(pair):
    ideal, chip, page = pair
    for run in (ideal, chip):
        for wanted in (
            percent(run.history["test_error"][-1]),
            percent(run.history["train_error"][-1]),
            number(float(np.median(run.times["seconds_per_epoch"])), "s"),
            number(run.physical["difference"][1], "V"),
            number(run.physical["power"][0], "W"),
            percent(run.physical["saturated_high"][0]),
            checksum(run),
            run.dataset["checksum"],
            "hidden = [64]",
        ):
            assert wanted in page.text
    for array in chip.arrays:
        assert count(array["pulses"].max()) in page.text
        assert count(np.percentile(array["pulses"], 99)) in page.text
        assert count(array["pulses"].mean()) in page.text
    assert number(chip.experiment.chip.device.g_max, "S") in page.text


@pytest.mark.parametrize(("chip", "rows"), [("epiram", 3), (None, 2)])
def test_bias_cells_are_on_the_page_only_where_there_are_any(make_run, tmp_path, chip, rows):
    for rails in (False, True):
        page = Page(write([make_run(chip=chip, rails=rails)], tmp_path / "report.html"))
        for layer in (1, 2):
            assert page.text.count(f"Bias cells of layer {layer}") == rows * rails


def test_page_says_where_the_runs_part(pair):
    ideal, chip, page = pair
    gap = chip.history["test_error"] - ideal.history["test_error"]
    first = int(np.flatnonzero(gap > 0.01)[0]) + 1
    assert f"epiram parts from ideal after epoch {first}," in page.text
    assert f"{100 * gap[-1]:.2f} points behind" in page.text


def test_equal_runs_give_equal_pages(make_run, tmp_path):
    pages = [write([make_run()], tmp_path / name).read_bytes() for name in ("a.html", "b.html")]
    assert len(set(pages)) == 1


def test_one_run_and_an_unfinished_one(make_run, tmp_path):
    page = Page(write([make_run(epochs=0)], tmp_path / "report.html"))
    assert "No epoch is finished yet" in page.text
    assert "There is nothing to compare" in page.text


def test_run_without_physics_and_pulses(make_run, tmp_path):
    run = make_run(chip="pcmo")
    run.physical = {}
    run.times = {}
    for array in run.arrays:
        del array["pulses"]
    page = Page(write([run], tmp_path / "report.html"))
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS


def test_names_are_escaped(make_run, tmp_path):
    run = make_run()
    run.versions["<script>alert(1)</script>"] = "1 & 2"
    page = Page(write([run], tmp_path / "report.html"))
    assert "<script>alert(1)</script> 1 & 2" in page.text


def test_what_cannot_be_reported(make_run, tmp_path):
    with pytest.raises(RunFileError, match="at least one run"):
        write([], tmp_path / "report.html")
    with pytest.raises(RunFileError, match=r"none\.h5: no such file"):
        write([tmp_path / "none.h5"], tmp_path / "report.html")
    with pytest.raises(RunFileError, match="cannot be written"):
        write([make_run()], tmp_path)
    assert list(tmp_path.iterdir()) == []


PROBE = """<script>addEventListener("load", () => {
  const loads = performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:"));
  const figures = [...document.querySelectorAll("figure svg")];
  const page = document.documentElement;
  parent.postMessage([innerWidth, page.scrollWidth - page.clientWidth,
    Math.min(...figures.map(svg => svg.getBoundingClientRect().width)), loads.length], "*");
})</script></body>"""

FRAMES = """<!DOCTYPE html><title></title><script>
  const seen = [];
  onmessage = event => { seen.push(event.data); document.title = JSON.stringify(seen); };
</script>
<iframe src="probe.html" width="390" height="800" style="border: 0"></iframe>
<iframe src="probe.html" width="1200" height="800" style="border: 0"></iframe>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_browser_shows_the_page_without_loading_or_overflow(pair, tmp_path):
    source = pair[2].source.replace("</body>", PROBE)
    (tmp_path / "probe.html").write_text(source, encoding="utf-8")
    (tmp_path / "frames.html").write_text(FRAMES, encoding="utf-8")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"),
            *("--dump-dom", (tmp_path / "frames.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stderr
    seen = sorted(json.loads(title[1]))
    assert [width for width, *_ in seen] == [390, 1200]
    for width, overflow, narrowest, loads in seen:
        assert overflow == 0
        assert narrowest > 0.75 * min(width, 500)
        assert loads == 0


def test_costs_of_a_trained_run_and_why_others_have_none(make_run, tmp_path):
    experiment = load("drn-digits", chip="epiram", settings=("data.train=40",), epochs=1)
    run = train(experiment)
    page = Page(write([run, make_run()], tmp_path / "report.html"))
    found = estimate(run)
    total = sum(found.energy["training run"].values())
    assert number(total, "J") in page.text
    assert "training run, 40 samples" in page.text
    assert all(note.split(";")[0] in page.text for note in found.notes)
    assert any("Energy by class. epiram, inference" in alt for alt in page.alts)
    assert "No estimate: digits: dataset.checksum = 5d5d5d5d5d5d" in page.text
