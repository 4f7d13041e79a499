"""Several systems: pairing, ranks, intervals, tables, ground truth, parallel runs."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jean.errors import ArtefactError, InputError, UsageError
from jean.evaluation.evaluate import EvaluateConfig, evaluate
from jean.evaluation.pairing import TRUTH, make_plan, truth_jobs
from jean.evaluation.summary import bootstrap_interval, ranks, summarise
from jean.evaluation.tables import to_latex, to_markdown
from tests.evaluation import test_evaluate as one
from tests.evaluation.test_evaluate import dot_tracker, make_clip, opening, picture  # noqa: F401 - a fixture among them


def clips(folder: Path, *names: str, noise: float = 0.0, count: int = 8) -> Path:
    for name in names:
        make_clip(folder / name, [picture(t, opening(t), noise) for t in range(count)])
    return folder


def config(**options) -> EvaluateConfig:
    return EvaluateConfig(**{"tracker": "dot", "metrics": ("image", "landmarks", "jitter"), "resamples": 200} | options)


def test_ranks_compare_rounded_means() -> None:
    assert ranks([1.0, 3.0, None, 2.0, 0.5], "higher", 2) == [3, 1, None, 2, None]
    assert ranks([0.1001, 0.1002, 0.3], "lower", 2) == [1, 1, 2], "equal in the table, equal in place"
    assert ranks([1.0, 2.0], None, 2) == [None, None]
    assert ranks([1.0, None], "lower", 2) == [None, None], "one alone is not the best"


def test_the_bootstrap_interval_equals_scipy() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).normal(20, 3, 30)
    low, high = bootstrap_interval(values, 20000, 0)
    want = bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=0).confidence_interval
    assert low == pytest.approx(want.low, abs=0.05) and high == pytest.approx(want.high, abs=0.05)
    assert bootstrap_interval(values, 100, 7) == bootstrap_interval(values, 100, 7)
    assert bootstrap_interval([1.0, 2.0], 100, 0) is None and bootstrap_interval(values, 0, 0) is None
    assert bootstrap_interval([4.0] * 5, 100, 0) == (4.0, 4.0)


def test_the_ground_truth_comes_first_and_is_not_ranked() -> None:
    columns = [{"name": "x", "better": "higher", "digits": 1}]
    rows = [{"system": name, "values": {"x": value}} for name, value in (("a", 1.0), ("b", 2.0), (TRUTH, 9.0))]
    found = summarise(rows, columns, 0, 0)
    assert [(entry["name"], entry["place"]["x"]) for entry in found] == [(TRUTH, None), ("a", 2), ("b", 1)]


def test_results_are_paired_by_name(tmp_path: Path) -> None:
    clips(tmp_path / "ours", "a", "b", "alone")
    clips(tmp_path / "truth", "a", "b", "unused")
    clips(tmp_path / "faces", "a")
    plan = make_plan(
        {"ours": [tmp_path / "ours"]},
        {"reference": tmp_path / "truth", "expression_source": tmp_path / "faces", "audio_source": None},
    )
    assert [
        (job.name, job.reference.name, job.expression_source and job.expression_source.name) for job in plan.jobs
    ] == [
        ("a", "a", "a"),
        ("b", "b", None),
    ]
    assert plan.unpaired == {
        str(tmp_path / "ours" / "alone"): ["reference", "expression_source"],
        str(tmp_path / "ours" / "b"): ["expression_source"],
    }
    assert [Path(path).name for path in plan.unused["reference"]] == ["unused"]
    assert [job.name for job in truth_jobs(plan)] == ["a", "b"]


def test_results_are_paired_by_a_table(tmp_path: Path) -> None:
    clips(tmp_path / "ours", "x_happy", "y_sad")
    clips(tmp_path / "faces", "happy", "sad")
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    table = tmp_path / "pairs.csv"
    table.write_text("name,expression_source,audio_source\nx_happy,happy,x.wav\ny_sad,faces/sad,\n")
    partners = {"reference": None, "expression_source": tmp_path / "faces", "audio_source": None}
    plan = make_plan({"ours": [tmp_path / "ours"]}, partners, table, {"audio": ("ours",)})
    assert [(job.name, job.expression_source.name, job.audio_source) for job in plan.jobs] == [
        ("x_happy", "happy", tmp_path / "x.wav"),
        ("y_sad", "sad", None),
    ]
    assert not plan.jobs[0].takes_audio and plan.jobs[0].takes_expression
    assert plan.unpaired == {str(tmp_path / "ours" / "y_sad"): ["audio_source"]}
    assert truth_jobs(plan) == [], "a sound alone is no true video"


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("name,expresion\nx,y\n", UsageError, "expresion"),
        ("reference\nx\n", UsageError, "name"),
        ("name,reference\nx,a\nx,b\n", UsageError, "two lines"),
        ("name,reference\nx,absent\n", InputError, "absent"),
    ],
)
def test_malformed_tables_are_errors(tmp_path: Path, text: str, error: type, match: str) -> None:
    clips(tmp_path / "ours", "x")
    clips(tmp_path / "truth", "a", "b")
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(error, match=match):
        make_plan({"o": [tmp_path / "ours"]}, {"reference": tmp_path / "truth"} | EMPTY, tmp_path / "pairs.csv")


EMPTY = {"expression_source": None, "audio_source": None}


def test_three_systems_are_compared_in_all_output_files(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    truth = clips(tmp_path / "truth", *names)
    systems = {
        name: clips(tmp_path / name, *names, noise=noise) for name, noise in (("good", 2), ("bad", 12), ("so", 6))
    }
    table = evaluate([], config(systems=systems, reference=truth), tmp_path / "out")
    shown = {entry["name"]: entry for entry in table["systems"]}
    assert list(shown) == [TRUTH, "good", "bad", "so"]
    assert [shown[name]["place"]["psnr_db"] for name in ("good", "so", "bad")] == [1, 2, 3]
    low, high = shown["bad"]["interval"]["psnr_db"]
    assert low <= shown["bad"]["mean"]["psnr_db"] <= high
    assert shown[TRUTH]["mean"]["psnr_db"] is None and shown[TRUTH]["mean"]["jitter"] is not None
    assert len(table["rows"]) == 9 and len(table["truth"]) == 3
    text = (tmp_path / "out" / "metrics.md").read_text()
    best, worst = (f"{shown[name]['mean']['psnr_db']:.2f}" for name in ("good", "bad"))
    assert f"**{best}**" in text and f"*{worst}*" in text and "95 % intervals" in text
    with open(tmp_path / "out" / "metrics.csv") as handle:
        assert [line["system"] for line in csv.DictReader(handle)] == ["good"] * 3 + ["bad"] * 3 + ["so"] * 3 + [
            TRUTH
        ] * 3
    with open(tmp_path / "out" / "systems.csv") as handle:
        lines = {(line["system"], line["metric"]): line for line in csv.DictReader(handle)}
    assert float(lines["good", "psnr_db"]["mean"]) == shown["good"]["mean"]["psnr_db"]
    assert lines["good", "psnr_db"]["place"] == "1" and lines["good", "psnr_db"]["results"] == "3"
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="number place p1"') >= 2 and "nan" not in re.sub('base64,[^"]*', "", page).lower()
    assert page.count('alt="good, ') == 3 * 6 and page.count('alt="Reference, ') == 3 * 6


def test_latex_is_escaped_and_balanced(tmp_path: Path) -> None:
    truth = clips(tmp_path / "truth", "a_1", "b")
    systems = {name: clips(tmp_path / name, "a_1", "b", noise=n) for n, name in enumerate(("100%", "x_y"), 2)}
    table = evaluate([], config(systems=systems, reference=truth, metrics=("image",)))
    text = to_latex(table)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 3 and all(line.count("&") == 2 for line in body)
    assert r"PSNR $\uparrow$" in body[0] and r"100\% &" in body[1] and r"\best{" in body[1] and r"\second{" in body[2]
    for line in text.splitlines():
        assert line.startswith("%") or not re.search(
            r"(?<!\\)[_%#]", line.replace(r"\providecommand{\best}[1]", "").replace("#1", "")
        )
        assert line.count("{") - line.count(r"\{") == line.count("}") - line.count(r"\}")


def test_expression_source_and_reference_are_compared_separately(tmp_path: Path) -> None:
    """PSNR uses the expression source, landmarks the reference; each counts its own frames."""
    ours = clips(tmp_path / "ours", "a", count=8)
    truth = clips(tmp_path / "truth", "a", noise=9.0, count=6)
    faces = clips(tmp_path / "faces", "a", count=10)
    table = evaluate([ours / "a"], config(reference=truth, expression_source=faces), tmp_path / "out")
    row = table["rows"][0]
    assert row["values"]["psnr_db"] == 100.0
    frames = row["frames"]
    assert (frames["compared"], frames["left_result"], frames["left_reference"]) == (6, 2, 0)
    assert (frames["compared_expression"], frames["left_expression"]) == (8, 2)
    assert any("6 frames compared, 2 of the result and 0 of the reference" in note for note in row["notes"])
    assert any("8 frames compared, 0 of the result and 2 of the expression source" in note for note in row["notes"])
    assert table["truth"][0]["values"]["psnr_db"] < 40, "the truth has another expression source than itself"
    details = json.loads((tmp_path / "out" / row["details"]).read_text())
    assert len(details["series"]["psnr_db"]) == 8 and len(details["series"]["lmd_mouth_aligned"]) == 6
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'alt="Expression source, 0.0 s"' in page


def test_metrics_that_need_no_partner_are_computed_without_one(tmp_path: Path) -> None:
    row = evaluate([clips(tmp_path / "ours", "a")], config())["rows"][0]
    assert row["values"]["jitter"] is not None and "psnr_db" not in row["values"]
    assert "image needs --expression-source." in row["notes"] and "landmarks needs --reference." in row["notes"]


def test_a_missing_partner_affects_only_its_role(tmp_path: Path) -> None:
    ours, truth = clips(tmp_path / "ours", "a", "b"), clips(tmp_path / "truth", "a", "b")
    faces = clips(tmp_path / "faces", "a")
    table = evaluate([ours], config(reference=truth, expression_source=faces))
    assert [row["name"] for row in table["rows"]] == ["a", "b"]
    assert table["unpaired"]["lacking"] == {str(ours / "b"): ["expression_source"]}
    assert f"{ours / 'b'} has no expression source." in to_markdown(table)


def test_one_damaged_result_does_not_stop_the_others(tmp_path: Path) -> None:
    ours, truth = clips(tmp_path / "ours", "a", "b"), clips(tmp_path / "truth", "a", "b")
    (ours / "c.mp4").write_bytes(b"no video")
    clips(truth, "c")
    table = evaluate([ours], config(reference=truth), tmp_path / "out")
    assert [row["name"] for row in table["rows"]] == ["a", "b"] and list(table["failed"]) == ["c"]
    assert "c is not scored" in (tmp_path / "out" / "metrics.md").read_text()
    with pytest.raises(InputError):
        evaluate([ours / "c.mp4"], config(reference=truth))
    damaged = ours / "b" / "frames.u8"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(ArtefactError):
        evaluate([ours], config(reference=truth))


def test_unknown_or_reserved_system_names_are_errors(tmp_path: Path) -> None:
    ours = clips(tmp_path / "ours", "a")
    with pytest.raises(UsageError, match="no system called 'theirs'"):
        evaluate([], config(systems={"ours": ours}, no_audio=("theirs",)))
    with pytest.raises(UsageError, match="must have a name"):
        evaluate([], config(systems={TRUTH: ours}))


def test_a_metric_added_later_computes_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, truth = clips(tmp_path / "ours", "a"), clips(tmp_path / "truth", "a")
    first = evaluate([ours], config(reference=truth, metrics=("image",)), tmp_path / "out")
    from jean.metrics.image import ImageQuality

    monkeypatch.setattr(ImageQuality, "update", lambda *_: pytest.fail("computed again"))
    second = evaluate([ours], config(reference=truth, metrics=("image", "pose")), tmp_path / "out")
    assert second["rows"][0]["values"]["psnr_db"] == first["rows"][0]["values"]["psnr_db"]
    assert second["rows"][0]["values"]["pose_error_deg"] == 0


def test_an_interrupted_evaluation_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jean.metrics.image import ImageQuality

    ours, truth = clips(tmp_path / "ours", "a", noise=3.0), clips(tmp_path / "truth", "a", "b")
    clips(ours, "b", noise=4.0)  # of the same content it would be kept as the same
    update, seen = ImageQuality.update, []

    def stopped(self, pair):
        seen.append(1)
        if len(seen) == 12:  # in the second result
            raise KeyboardInterrupt
        update(self, pair)

    monkeypatch.setattr(ImageQuality, "update", stopped)
    settings = config(reference=truth, metrics=("image",))
    with pytest.raises(KeyboardInterrupt):
        evaluate([ours], settings, tmp_path / "out")
    assert not (tmp_path / "out" / "metrics.json").exists()
    evaluate([ours], settings, tmp_path / "out")
    assert len(seen) == 12 + 8, "the first result is kept, the second computed whole"
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_sound_of_the_reference_begins_at_the_reference_start(tmp_path: Path) -> None:
    from jean.evaluation.context import Settings, sounds_of
    from jean.evaluation.pairing import Job

    settings = Settings({}, "dot", "", None, 2.5, "cpu", sounds=(tmp_path / "x", tmp_path / "y"))
    real, other = tmp_path / "real", tmp_path / "other.wav"
    for job, want in (
        (Job("", "a", tmp_path, real, None, real), [(real, 2.5)]),
        (Job("", "a", tmp_path, real, None, other), [(other, 0.0)]),
        (Job("", "a", tmp_path, real, None, other, takes_audio=False), [(tmp_path / "x", 0.0), (tmp_path / "y", 0.0)]),
    ):
        assert [(sound.path, sound.start_s) for sound in sounds_of(job, {}, settings)] == want


@pytest.mark.slow
def test_parallel_scores_equal_serial_ones(tmp_path: Path) -> None:
    """Spawned processes do not know the test tracker, so faces come from the clips."""
    names = ("a", "b", "c")
    truth, ours = clips(tmp_path / "truth", *names), clips(tmp_path / "ours", *names, noise=5.0)
    (ours / "d.mp4").write_bytes(b"no video")
    clips(truth, "d")
    tables = []
    for workers in (1, 2):
        settings = config(reference=truth, tracker="reference", metrics=("image", "pixels"), workers=workers)
        tables.append(evaluate([ours], settings, tmp_path / f"out{workers}"))
    assert tables[0]["rows"] == tables[1]["rows"] and tables[0]["failed"] == tables[1]["failed"]
    assert list(tables[0]["failed"]) == ["d"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    """Peak of traced memory: a frame has 27 kB, of which about 1 kB may be kept."""
    import tracemalloc

    peaks = []
    for count in (10, 60, 180):  # the first loads what is loaded once
        ours = clips(tmp_path / f"ours{count}", "a", count=count)
        tracemalloc.start()
        evaluate([ours], config(reference=ours, ground_truth=False, metrics=one.PLAIN))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 120 * 4000


def run(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    code = "from jean_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_exit_code_of_the_command_reports_missing_weights(tmp_path: Path) -> None:
    clips(tmp_path / "ours", "a")
    clips(tmp_path / "truth", "a")
    base = ["evaluate", "--system", "my system=ours", "--reference", "truth", "--set", "tracker=reference"]
    code, out, err = run(*base, "--metrics", "image,lpips", "--json", "-o", "out", cwd=tmp_path)
    table = json.loads(out)
    assert code == 5 and "jean models pull alexnet-owt-7be5be79.pth" in err
    assert table["rows"][0]["values"]["psnr_db"] == 100.0 and list(table["missing"]) == ["lpips"]
    assert "Traceback" not in err
    code, out, err = run(*base, "--metrics", "image,lpips", "--allow-missing", "-o", "out", cwd=tmp_path)
    assert code == 0 and "missing" in out and "already scored" in err
    code, out, _ = run(*base, "--metrics", "image", "--quiet", cwd=tmp_path)
    assert code == 0
    assert run("evaluate", "--system", "ours", "--reference", "truth", cwd=tmp_path)[0] == 2
    assert run("evaluate", cwd=tmp_path)[0] == 2
    assert run(*base, "--metrics", "imagee", cwd=tmp_path)[0] == 2
