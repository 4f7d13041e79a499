"""Preparing many videos: folders in folders, unusable videos, several processes, joined clips."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jean.clips.clip import Clip
from jean.errors import InputError, UsageError
from jean.features.audio.logmel import LogMel
from jean.features.registry import ADAPTERS
from jean.outputs import claim
from jean.preparation import many
from jean.preparation.config import PrepareConfig
from jean.preparation.extractors import Extractors
from jean.preparation.prepare import prepare
from jean.preparation.videos import clip_folders
from tests.helpers import drawn_face
from tests.helpers.drawn_face import FakeMatting
from tests.preparation.test_prepare import SMALL, Notes, contents, film, one_face

BARE = {**SMALL, "tracks_only": True, "workers": 1}


class CountedAudio(LogMel):
    """Log-mel features that count how often they are created."""

    created = 0

    def __init__(self):
        type(self).created += 1


class CountedMatting(FakeMatting):
    """A matting method that counts its frames."""

    name = "counted"
    frames = 0

    def segment(self, frames):
        for matte in super().segment(frames):
            type(self).frames += 1
            yield matte


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    here = "tests.preparation.test_many"
    monkeypatch.setitem(ADAPTERS["tracker"], "fake", "tests.helpers.drawn_face:FakeTracker")
    monkeypatch.setitem(ADAPTERS["matting"], "fake", "tests.helpers.drawn_face:FakeMatting")
    monkeypatch.setitem(ADAPTERS["matting"], "counted", f"{here}:CountedMatting")
    monkeypatch.setitem(ADAPTERS["audio"], "logmel", f"{here}:CountedAudio")
    monkeypatch.setitem(sys.modules, "jean.preparation.background", drawn_face.plate_module())
    monkeypatch.setattr(CountedAudio, "created", 0)
    monkeypatch.setattr(CountedMatting, "frames", 0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Videos of two people, of which one is broken and one is silent, and a view that is not wanted."""
    root = tmp_path_factory.mktemp("corpus")
    for name in ("A/front/sad/001", "A/front/happy/001", "B/front/sad/001", "B/left/sad/001"):
        (root / name).parent.mkdir(parents=True)
        film(root / f"{name}.mp4", one_face, frames=8)
    film(root / "B/front/sad/002.mp4", one_face, frames=8, sound=False)
    (root / "B/front/sad/003.mp4").write_bytes(b"not a video" * 100)
    return root


def test_folders_in_folders_keep_their_structure(corpus, tmp_path):
    folders = clip_folders([corpus], tmp_path, "*/front/*")
    assert [folder.relative_to(tmp_path).as_posix() for folder in folders.values()] == [
        "A/front/happy/001",
        "A/front/sad/001",
        "B/front/sad/001",
        "B/front/sad/002",
        "B/front/sad/003",
    ]
    with pytest.raises(InputError, match=r"no video below .* matches 'C"):
        clip_folders([corpus], tmp_path, "C/*")
    with pytest.raises(UsageError, match="looks into folders"):
        clip_folders([corpus / "A/front/sad/001.mp4"], tmp_path, "*")
    with pytest.raises(UsageError, match="two videos are called 001"):
        clip_folders([corpus / "A/front", corpus / "B/front"], tmp_path, "sad/001.mp4")
    with pytest.raises(InputError, match="--match PATTERN"):
        clip_folders([corpus], tmp_path)


def test_broken_and_silent_videos_are_skipped_and_counted(corpus, tmp_path):
    config = PrepareConfig(**BARE, match="*/front/*", skip_unusable=True, need_sound=True)
    notes = Notes()
    result = prepare([corpus], tmp_path, config, notes)
    json.dumps(result, allow_nan=False)
    assert len(result["clips"]) == 3 and CountedAudio.created == 1, "extractors are loaded once"
    assert {Path(each["source"]).name for each in result["failed"]} == {"002.mp4", "003.mp4"}
    errors = {Path(each["source"]).name: each["error"] for each in result["failed"]}
    assert errors["002.mp4"] == "the video has no sound." and "003.mp4" in errors["003.mp4"]
    assert "2 of 5 videos cannot be used and are skipped." in notes.warnings
    assert Clip.open(tmp_path / "B/front/sad/001", pictures=False).frame_count == 8
    again = prepare([corpus], tmp_path, config)
    assert [clip["steps_run"] for clip in again["clips"]] == [[]] * 3 and len(again["failed"]) == 2


def test_unusable_videos_fail_at_the_end_unless_they_may_be_skipped(corpus, tmp_path):
    with pytest.raises(InputError, match=r"1 of 3 videos cannot be used, first 003\.mp4") as caught:
        prepare([corpus / "B/front/sad"], tmp_path, PrepareConfig(**BARE))
    assert len(caught.value.facts["clips"]) == 2 and len(caught.value.facts["failed"]) == 1
    skip = PrepareConfig(**BARE, skip_unusable=True, need_sound=True, match="sad/00[23]*")
    with pytest.raises(InputError, match="2 of 2 videos cannot be used"):
        prepare([corpus / "B/front"], tmp_path / "none", skip)


def test_a_finished_clip_without_sound_is_refused_where_sound_is_needed(corpus, tmp_path):
    prepare([corpus / "B/front/sad/002.mp4"], tmp_path, PrepareConfig(**BARE))
    with pytest.raises(InputError, match="has no sound"):
        prepare([corpus / "B/front/sad/002.mp4"], tmp_path, PrepareConfig(**BARE, need_sound=True))


def test_digital_silence_is_no_sound(tmp_path, monkeypatch):
    from jean.media import open_writer

    with open_writer(tmp_path / "a.mp4", (320, 200), 25.0, (np.zeros(5120, np.float32), 16000)) as out:
        for t in range(8):
            out.write(one_face(t))
    with pytest.raises(InputError, match="has no sound"):
        prepare([tmp_path / "a.mp4"], tmp_path / "clip", PrepareConfig(**BARE, need_sound=True))


def test_a_defect_that_one_video_shows_does_not_cost_the_others(corpus, tmp_path, monkeypatch):
    def prepare_clip(video, folder, config, extractors, progress):
        if video.stem == "001":
            raise np.linalg.LinAlgError("Singular matrix")  # a ValueError
        return {"clip": str(folder)}

    monkeypatch.setattr(many, "prepare_clip", prepare_clip)
    folders = clip_folders([corpus / "B/front/sad"], tmp_path)
    outcomes = list(many.prepare_many(folders, PrepareConfig(**BARE), Notes()))
    assert [outcome.error for outcome in outcomes] == ["internal error (LinAlgError: Singular matrix).", None, None]


def test_only_trackers_that_ignore_the_video_are_used_again():
    extractors = Extractors(PrepareConfig(**BARE))
    first = extractors.tracker(Path("a.mp4"))
    assert extractors.tracker(Path("b.mp4")) is not first
    first = extractors.tracker(Path("c.mp4"))
    first.reusable = True
    assert extractors.tracker(Path("d.mp4")) is first


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Three short videos of the synthetic speaker."""
    from jean.synthetic_speaker.speaker import build_speaker
    from jean.synthetic_speaker.speaker_identity import sample_identity
    from jean.synthetic_speaker.speaker_video import write_speaker_video

    root = tmp_path_factory.mktemp("spoken")
    speaker = build_speaker(sample_identity(3))
    for number in range(3):
        write_speaker_video(root / f"v{number}", 3, "happy", 1.0, ["boat"], size=64, seed=number, speaker=speaker)
    (root / "v9.mp4").write_bytes(b"not a video" * 100)
    return root


@pytest.mark.slow
def test_several_processes_give_the_clips_of_one(spoken, tmp_path, monkeypatch):
    monkeypatch.undo()
    options = {"size": 64, "tracker": "truth", "matting": "grabcut", "skip_unusable": True}
    notes = {}
    for workers in (1, 2):
        notes[workers] = Notes()
        config = PrepareConfig(**options, workers=workers)
        result = prepare([spoken], tmp_path / str(workers), config, notes[workers])
        assert len(result["clips"]) == 3 and [each["source"] for each in result["failed"]] == ["v9.mp4"]
    for number in range(3):
        one, two = (contents(tmp_path / str(workers) / f"v{number}") for workers in (1, 2))
        assert len(one) == 7 and one == two
    assert notes[1].warnings == notes[2].warnings


def test_only_the_chosen_videos_of_a_joined_clip_are_matted(tmp_path):
    def face_at(left):
        def scene(t):
            image = np.full((200, 320, 3), 90, np.uint8)
            drawn_face.draw_face(image, left + 2 * np.sin(t), 50, 70)
            return image

        return scene

    takes = tmp_path / "takes"
    takes.mkdir()
    for name, left in (("a", 100), ("b", 100), ("c", 30)):
        film(takes / f"{name}.mp4", face_at(left), frames=8)
    (takes / "d.mp4").write_bytes(b"not a video" * 100)
    config = PrepareConfig(**{**SMALL, "matting": "counted"}, concat=True, seconds=0.5, focal_tolerance=10)
    notes = Notes()
    result = prepare([takes], tmp_path / "joined", config, notes)
    (clip,) = result["clips"]
    assert clip["joined"] == ["a", "b"] and CountedMatting.frames == 16
    assert clip["left_out"]["d"][0].startswith("cannot be used") and result["failed"][0]["source"] == "d.mp4"
    assert set(clip["left_out"]) == {"c", "d"}
    joined = Clip.open(tmp_path / "joined")
    assert joined.frame_count == 16 and joined.audio_track("logmel").shape == (16, 16, 80)
    before = contents(tmp_path / "joined")
    prepare([takes], tmp_path / "joined", config, notes)
    assert CountedMatting.frames == 16 and contents(tmp_path / "joined") == before
    prepare([takes], tmp_path / "long", config.model_copy(update={"seconds": 15.0}), notes)
    assert any("fit together; the paper joins 15 s" in text for text in notes.warnings)
    for path in takes.glob("[abc].mp4"):
        path.unlink()
    with pytest.raises(InputError, match="none of 1 videos can be used"):
        prepare([takes / "d.mp4"], tmp_path / "none", config)


def test_thousands_of_outputs_are_claimed_in_seconds(tmp_path):
    import time

    inputs = [tmp_path / "in" / f"{i}.mp4" for i in range(1000)]
    folders = [tmp_path / "out" / str(i) for i in range(1000)]
    files = [folder / name for folder in folders for name in ("clip.json", "frames.u8")]
    started = time.perf_counter()
    claim(inputs, files=files, folders=folders, exclusive=[folder / ".work" for folder in folders])
    assert time.perf_counter() - started < 20, "comparing every output with every input takes minutes"
