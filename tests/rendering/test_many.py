"""Many renders from a table, and one render by several workers."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import JeanError, UsageError
from jean.media import read_audio, read_frames
from jean.progress import Silent
from jean.rendering import many
from jean.rendering.act_config import ActConfig
from jean.rendering.config import RenderConfig
from jean.rendering.many import LastHead, act_all, render_all
from jean.rendering.render import render


def same_pictures(one, two):
    """Whether two videos show the same; their files differ in the time at which they were made."""
    a, b = (np.stack([picture for _, picture in read_frames(path)]) for path in (one, two))
    return np.array_equal(a, b) and np.array_equal(read_audio(one), read_audio(two))


def test_a_table_of_renders_loads_the_head_once_and_gives_the_same_videos(trained, speech, tmp_path, monkeypatch):
    loaded = []
    original = many.load_configured_head
    monkeypatch.setattr(many, "load_configured_head", lambda *a: loaded.append(a[0]) or original(*a))
    (tmp_path / "jobs.csv").write_text(
        f"output,audio,size,run\na.mp4,speech.wav,,\nb.mp4,speech.wav,32,{trained / 'run'}\nc.mp4,none.wav,,\n"
    )
    config = RenderConfig(jobs=tmp_path / "jobs.csv")
    with pytest.raises(JeanError, match=r"1 of 3 jobs failed, first .*c\.mp4") as error:
        render_all(trained / "run", config, tmp_path / "out", Silent())
    assert error.value.exit_code == 3 and len(loaded) == 1
    first, second = error.value.facts["results"]
    assert (first["size"], second["size"], first["finished"]) == (48, 32, True)
    render(trained / "run", RenderConfig(audio=speech), tmp_path / "alone.mp4", Silent())
    assert same_pictures(tmp_path / "out/a.mp4", tmp_path / "alone.mp4")
    with pytest.raises(JeanError) as again:
        render_all(trained / "run", config, tmp_path / "out", Silent())
    assert [result["frames_per_s"] for result in again.value.facts["results"]] == [0.0, 0.0]  # nothing was rendered
    assert len(loaded) == 1


@pytest.mark.slow
def test_workers_render_shards_of_one_video(trained, speech, tmp_path):
    result = render_all(trained / "run", RenderConfig(audio=speech, workers=2), tmp_path / "a.mp4", Silent())
    assert result["finished"] and result["frames"] == 8 and not (tmp_path / "a.mp4.work").exists()
    render(trained / "run", RenderConfig(audio=speech), tmp_path / "b.mp4", Silent())
    assert same_pictures(tmp_path / "a.mp4", tmp_path / "b.mp4")
    with pytest.raises(UsageError, match="contradict"):
        render_all(trained / "run", RenderConfig(audio=speech, workers=2, shard="1/2"), tmp_path / "c.mp4", Silent())


def test_a_render_needs_a_run(speech, tmp_path):
    with pytest.raises(UsageError, match="no run was given"):
        render_all(None, RenderConfig(audio=speech), tmp_path / "a.mp4", Silent())


def test_the_last_head_is_kept_until_something_changes(trained):
    last = LastHead()
    first = last.load(trained / "run", RenderConfig(), Silent())
    assert last.load(trained / "run", RenderConfig(size=32), Silent()).model is first.model
    assert last.load(trained / "run", RenderConfig(backend="reference"), Silent()).model is not first.model


def test_sounds_become_clips_once(speech, tmp_path):
    (tmp_path / "jobs.csv").write_text("output,audio,emotion\na,speech.wav,\nb,speech.wav,happy\nc,speech.wav,odd\n")
    config = ActConfig(jobs=tmp_path / "jobs.csv")
    with pytest.raises(JeanError, match=r"1 of 3 jobs failed") as error:
        act_all("builtin", config, tmp_path / "out", Silent())
    assert error.value.facts["done"] == 2 and error.value.facts["failed"][0]["exit_code"] == 2
    clip = tmp_path / "out/b/clip.json"
    before = clip.stat().st_mtime_ns
    with pytest.raises(JeanError):
        act_all("builtin", config, tmp_path / "out", Silent())
    assert clip.stat().st_mtime_ns == before
