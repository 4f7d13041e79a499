import re
from html.parser import HTMLParser

import numpy as np
import pytest

from jean.errors import InputError
from jean.report.charts import line_chart, thin, tick_label, ticks
from jean.report.page import Report, Tile, format_duration

VOID = {"meta", "img", "br", "link", "input"}


class Checker(HTMLParser):
    """Collects what a browser would fetch, and checks that elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "data", "poster")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def whole_report(tmp_path):
    movie = tmp_path / "a.mp4"
    movie.write_bytes(bytes(range(256)))
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 200
    x = np.arange(50) / 25
    report = Report("A <title> & more", "what it is")
    report.tiles([Tile("PSNR", "24.1", "dB", "goal ≥ 22", True), Tile("Mouth", "0.5", note="goal ≥ 0.8", met=False)])
    report.section("One", "First.\n\nSecond.").video(movie, "<b>seen</b>").videos([(movie, "a"), (movie, "b")])
    report.frames([("ours", [image, image]), ("theirs", [image, image])], ["0 s", "1 s"], "caption")
    report.curve("Opening", {"ours": (x, np.sin(x)), "theirs": (x, np.full(50, np.nan))}, y_label="share")
    report.table(["name", "PSNR"], [["a", "1.0"], ["mean", "–"]], total=True)
    report.timings({"prepare": 3.2, "train": 300}).facts({"tracker": "x < y"}).notes(["one"]).notes([])
    return report


def test_the_page_is_well_formed_and_loads_nothing(tmp_path):
    page = whole_report(tmp_path).write(tmp_path / "r.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert len(checker.sources) == 3 + 4
    assert all(source.startswith(("data:video/mp4;base64,", "data:image/webp;base64,")) for source in checker.sources)
    assert "url(" not in page and "@import" not in page and "http" not in page


def test_texts_are_escaped(tmp_path):
    page = whole_report(tmp_path).html()
    assert "A &lt;title&gt; &amp; more" in page
    assert "&lt;b&gt;seen" in page and "<b>seen" not in page
    assert "x &lt; y" in page


def test_goals_are_also_stated_in_words(tmp_path):
    page = whole_report(tmp_path).html()
    assert "goal ≥ 22 · met" in page and "goal ≥ 0.8 · not met" in page


def test_number_columns_are_right_aligned_and_the_total_stands_out():
    page = Report("t").table(["name", "dB"], [["a", "−1.5"], ["mean", "2"]], total=True).html()
    assert '<td class="number">−1.5</td>' in page and "<td>a</td>" in page
    assert page.count('class="total"') == 1


def test_a_missing_video_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.mp4"):
        Report("t").video(tmp_path / "none.mp4")


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 7.9), (0.001, 0.0013), (1e4, 9e6), (5, 5), (0, 0), (-2, -2)])
def test_ticks_cover_the_range_and_are_evenly_spaced(low, high):
    values = ticks(low, high)
    assert values[0] <= low + 1e-9 and values[-1] >= high - 1e-9
    assert 3 <= len(values) <= 9
    np.testing.assert_allclose(np.diff(values), values[1] - values[0])
    labels = [tick_label(value, values[1] - values[0]) for value in values]
    assert len(set(labels)) == len(labels)


def test_tick_labels_have_the_decimals_of_the_step():
    assert tick_label(-0.05, 0.05) == "−0.05"
    assert tick_label(-0.0, 0.5) == "0.0"
    assert tick_label(2.5, 2.5) == "2.5"
    assert tick_label(20000, 5000) == "20,000"


def test_lines_break_at_gaps_and_single_values_are_dots():
    y = np.array([1, 2, np.nan, 3, np.nan, 4, 5])
    svg = line_chart({"a": (np.arange(7.0), y)}, "x", "y", "t")
    path = re.search(r'class="line s0" d="([^"]*)"', svg)[1]
    assert path.count("M") == 3 and path.count("L") == 2
    assert svg.count("<circle") == 1
    assert "nan" not in svg.lower()


def test_a_chart_without_values_says_so():
    assert "no value is known" in line_chart({"a": (np.arange(3.0), np.full(3, np.nan))}, "x", "y", "t")
    assert "no value is known" in line_chart({}, "x", "y", "t")


def test_thinning_keeps_peaks_and_gaps():
    x, y = np.arange(20000.0), np.zeros(20000)
    y[7777], y[12345], y[5000:5100] = 9, -9, np.nan
    thin_x, thin_y = thin(x, y, 600)
    assert len(thin_x) <= 600 + 2
    assert np.nanmax(thin_y) == 9 and np.nanmin(thin_y) == -9 and np.isnan(thin_y).any()
    assert (np.diff(thin_x) > 0).all()


def test_durations_are_readable():
    assert [format_duration(s) for s in (0.04, 9.94, 9.96, 119.4, 125, 3600)] == [
        "0.0 s",
        "9.9 s",
        "10 s",
        "119 s",
        "2 min 05 s",
        "60 min 00 s",
    ]
