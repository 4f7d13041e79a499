"""Selection of metrics, their options, and metrics of other packages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jean.errors import SetupError, UsageError
from jean.evaluation.config import EvaluateConfig
from jean.evaluation.evaluate import evaluate
from jean.metrics import registry
from jean.metrics.base import Metric, MetricOptions
from jean.metrics.lip_sync.metric import LipSyncOptions
from tests.evaluation.test_evaluate import make_clip, opening, picture
from tests.helpers.plugin_package import install

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
# The metric that the documentation shows as an example.
FLICKER = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[-1]
ENTRY_POINTS = "[jean.metrics]\nflicker = jean_flicker:Flicker\n"


def test_every_metric_is_complete() -> None:
    for name in registry.METRICS:
        kind = registry.load(name)
        assert issubclass(kind, Metric)
        assert kind.name == name
        assert kind.columns
        assert issubclass(kind.Options, MetricOptions)
        assert all(registry.describe_options(name).values()), "every option has a description"


def test_by_default_all_metrics_without_required_options_are_selected() -> None:
    with_options = ("own_sync", "face_integrity", "picture_integrity")
    assert list(registry.select()) == [name for name in registry.METRICS if name not in with_options]
    assert registry.select()["sync"] == LipSyncOptions(protocol="track")


def test_requested_metrics_come_in_the_order_of_the_tables() -> None:
    assert list(registry.select(["pose", "sync", "pose"])) == ["sync", "pose"]


def test_options_of_a_metric_select_it_unless_metrics_are_named() -> None:
    options = {"own_sync": {"landmarks": "a", "audio_encoder": "b"}}
    assert "own_sync" in registry.select((), options)
    assert registry.select(["own_sync"], options)["own_sync"].landmarks == Path("a")
    assert list(registry.select(["pose"], options)) == ["pose"]


@pytest.mark.parametrize(
    ("requested", "options", "match"),
    [
        (["psnrr"], {}, r"no metric called 'psnrr'\. Choose from: sync, own_sync"),
        ([], {"psnrr": {}}, "no metric called 'psnrr'"),
        ([], {"sync": {"protocl": "frame"}}, r"sync has no option 'protocl'\. Its options: protocol\."),
        ([], {"image": {"size": 3}}, r"image has no option 'size'\. Its options: none\."),
        ([], {"sync": {"protocol": "box"}}, r"option sync\.protocol: input should be 'track' or 'frame', not 'box'"),
        (["own_sync"], {}, r"own_sync needs landmarks and audio_encoder\. Give: --metric-option own_sync\.landmarks"),
        ([], {"own_sync": {"landmarks": "a"}}, r"own_sync needs audio_encoder\. Give: --metric-option own_sync\.audio"),
    ],
)
def test_wrong_metrics_and_options_are_usage_errors(requested, options, match) -> None:
    with pytest.raises(UsageError, match=match):
        registry.select(requested, options)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip", [picture(t, opening(t)) for t in range(5)])


def test_a_metric_of_another_package_is_computed_and_cached_by_its_options(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "site", "jean-flicker", {"jean_flicker": FLICKER}, ENTRY_POINTS)
    assert registry.names()[-1] == "flicker"
    assert "flicker" not in registry.select()
    values = []
    for lag in (1, 2):
        config = EvaluateConfig(
            reference=clip,
            tracker="reference",
            metric_options={"flicker": {"lag": lag}},
            metrics=("flicker",),
        )
        table = evaluate([clip], config, tmp_path / "out")
        values.append(table["rows"][0]["values"]["flicker"])
        assert table["protocol"]["metrics"] == {"flicker": "1"}
        assert table["protocol"]["metric_options"] == {"flicker": {"lag": lag}}
    assert values[0] > 0
    assert values[0] != values[1]
    assert "Options of flicker: lag 2." in (tmp_path / "out" / "metrics.md").read_text(encoding="utf-8")


def test_a_broken_metric_of_another_package_is_one_line_that_names_it(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "class Flicker:\n    name, version, columns = 'flicker', '1', ()\n"
    install(monkeypatch, tmp_path / "site", "jean-flicker", {"jean_flicker": code}, ENTRY_POINTS)
    assert registry.select(["pose"]), "other metrics still work"
    with pytest.raises(SetupError, match=r"'flicker' of the package jean-flicker 1\.0 .* lacks Options, facts, update"):
        evaluate([clip], EvaluateConfig(reference=clip, tracker="reference", metrics=("flicker",)))


@pytest.mark.slow
def test_the_command_takes_options_of_metrics(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    install(monkeypatch, site, "jean-flicker", {"jean_flicker": FLICKER}, ENTRY_POINTS)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.path.insert(0, {str(site)!r})\nfrom jean_cli.main import main; main()"
        base = ["evaluate", str(clip), "--reference", str(clip), "--set", "tracker=reference"]
        return subprocess.run(
            [sys.executable, "-c", code, *base, *arguments], capture_output=True, text=True, check=False
        )

    done = run("--metrics", "flicker", "--metric-option", "flicker.lag=2")
    assert done.returncode == 0, done.stderr
    assert "Options of flicker: lag 2." in done.stdout
    for wrong in ("flicker.lag=0", "flicker.lag=none", "flicker", "flicker.mask=1", "sync.size=3"):
        done = run("--metric-option", wrong)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
