import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jean.clips.clip import ARRAYS, Clip
from jean.clips.meta import EmotionSpec
from jean.errors import InputError, SetupError, UsageError
from jean.features.registry import ADAPTERS
from jean.files import folder_lock, sha256
from jean.preparation.config import PrepareConfig
from jean.preparation.prepare import prepare
from jean.preparation.videos import clip_folders
from tests.helpers import drawn_face
from tests.helpers.drawn_face import FakeMatting, FakeTracker, draw_face
from tests.helpers.fault_report import Tally

FRAMES, FPS = 30, 25.0
ROOT = Path(__file__).resolve().parents[2]
SMALL = {"size": 64, "tracker": "fake", "matting": "fake", "workers": 1}  # other processes do not know the fakes


class Notes:
    """A Progress that remembers."""

    def __init__(self):
        self.warnings = []

    def task(self, name, total):
        from jean.progress import Silent

        return Silent().task(name, total)

    def say(self, message):
        pass

    def warn(self, message):
        self.warnings.append(message)


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setitem(ADAPTERS["tracker"], "fake", "tests.helpers.drawn_face:FakeTracker")
    monkeypatch.setitem(ADAPTERS["matting"], "fake", "tests.helpers.drawn_face:FakeMatting")
    monkeypatch.setitem(sys.modules, "jean.preparation.background", drawn_face.plate_module())


def film(path, scene, frames=FRAMES, sound=True):
    """Writes a video of ``scene(t) -> image`` with noise as its sound."""
    from jean.media import open_writer

    wave = np.random.default_rng(0).standard_normal(int(frames / FPS * 16000)).astype(np.float32) * 0.05
    first = scene(0)
    with open_writer(path, first.shape[1::-1], FPS, (wave, 16000) if sound else None) as out:
        for t in range(frames):
            out.write(scene(t))
    return path


def one_face(t):
    image = np.full((200, 320, 3), 90, np.uint8)
    draw_face(image, 100 + 20 * np.sin(t / 5), 50 + 5 * np.cos(t / 4), 70)
    return image


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return film(tmp_path_factory.mktemp("video") / "one face.mp4", one_face)


def contents(folder):
    return {path.name: sha256(path) for path in folder.iterdir() if path.is_file() and path.name[0] != "."}


def test_tracks_only_stores_the_same_tracks_and_no_pictures(video, tmp_path):
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    prepare([video], whole, PrepareConfig(**SMALL))
    result = prepare([video], bare, PrepareConfig(tracks_only=True, **SMALL))
    json.dumps(result, allow_nan=False)
    kept = ("arrays.safetensors", "audio_features.safetensors", "audio.wav")
    assert {name: hash for name, hash in contents(bare).items() if name != "clip.json"} == {
        name: contents(whole)[name] for name in kept
    }
    assert sum(path.stat().st_size for path in bare.rglob("*") if path.suffix == ".u8") == 0
    assert not np.isnan(Clip.open(bare, pictures=False).arrays["landmarks"]).any()
    with pytest.raises(InputError, match="without pictures"):
        Clip.open(bare)
    again = prepare([video], bare, PrepareConfig(tracks_only=True, **SMALL))["clips"][0]
    assert again["steps_run"] == again["steps_reused"] == []


def test_pictures_are_added_to_and_removed_from_a_clip(video, tmp_path):
    prepare([video], tmp_path / "whole", PrepareConfig(**SMALL))
    prepare([video], tmp_path / "clip", PrepareConfig(tracks_only=True, **SMALL))
    figures = prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))["clips"][0]
    assert set(figures["steps_run"]) == {"crop", "matte", "background"}
    assert contents(tmp_path / "clip") == contents(tmp_path / "whole")
    prepare([video], tmp_path / "clip", PrepareConfig(tracks_only=True, **SMALL))
    assert not (tmp_path / "clip" / "frames.u8").exists() and not (tmp_path / "clip" / "matte.u8").exists()


def test_a_new_version_of_the_matting_repeats_only_the_mattes(video, tmp_path, monkeypatch):
    first = prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))["clips"][0]
    assert first["mattes"] == Clip.open(tmp_path / "clip").meta.mattes.to_json()
    assert prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))["clips"][0]["steps_run"] == []
    monkeypatch.setattr(FakeMatting, "version", "2")
    again = prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))["clips"][0]
    assert again["steps_run"] == ["matte", "background"]


def test_tracks_only_excludes_preview_and_concat(video, tmp_path):
    for option in ("preview", "concat"):
        with pytest.raises(UsageError, match="tracks-only"):
            prepare([video], tmp_path / "clip", PrepareConfig(tracks_only=True, **{option: True}, **SMALL))


def test_a_prepared_clip_has_all_files_and_arrays(video, tmp_path):
    notes = Notes()
    result = prepare([video], tmp_path / "clip", PrepareConfig(**SMALL), notes)
    json.dumps(result, allow_nan=False)
    figures = result["clips"][0]
    assert (figures["frames"], figures["valid"], figures["sound"]) == (FRAMES, FRAMES, True)
    clip = Clip.open(tmp_path / "clip")
    sizes = {"T": FRAMES, "E": 2}
    for name, (shape, _) in ARRAYS.items():
        assert clip.arrays[name].shape == tuple(sizes.get(part) or int(part) for part in shape.split(",")), name
    assert clip.arrays["valid"].all() and np.isfinite(clip.arrays["camera_to_world"]).all()
    np.testing.assert_allclose(clip.arrays["times_s"], np.arange(FRAMES) / FPS, atol=1e-6)
    assert clip.audio_features["logmel"].shape == (FRAMES, 16, 80) and clip.audio_path is not None
    # the landmarks lie on the face of the crop: the skin between the eyes
    for t in (0, FRAMES // 2, FRAMES - 1):
        x, y = clip.arrays["landmarks"][t, [39, 42]].mean(axis=0).astype(int)
        assert np.abs(clip.frames[t, y, x].astype(int) - drawn_face.SKINS[0]).max() < 30
    # the fitted pose and shape land on the landmarks
    from jean.geometry import project

    shown = project(clip.arrays["shape"], clip.camera, clip.arrays["camera_to_world"])
    assert np.nanmedian(np.linalg.norm(shown - clip.arrays["landmarks"], axis=-1)) < 2
    assert clip.meta.expression.names == ["brow", "jaw"] and clip.upper_face().tolist() == [True, False]
    for name, facts in clip.meta.files.items():
        assert sha256(clip.folder / name) == facts.sha256
    assert any("a head learns better" in warning for warning in notes.warnings)
    assert str(tmp_path) not in (tmp_path / "clip" / "clip.json").read_text()


def test_only_steps_that_depend_on_a_changed_option_run_again(video, tmp_path, monkeypatch):
    folder = tmp_path / "clip"
    prepare([video], folder, PrepareConfig(**SMALL))
    before = contents(folder)

    def steps(**changes):
        figures = prepare([video], folder, PrepareConfig(**{**SMALL, **changes}))["clips"][0]
        return figures["steps_run"]

    with monkeypatch.context() as patch:
        patch.setattr(FakeTracker, "__init__", lambda *args, **options: pytest.fail("nothing should be built"))
        assert steps() == []
    assert contents(folder) == before
    assert steps(seed=1) == ["head", "arrays"]
    assert steps(size=96) == ["crop", "head", "arrays", "matte", "background"]
    monkeypatch.setattr(FakeMatting, "version", "2")
    assert steps(size=64) == ["crop", "head", "arrays", "matte", "background"]
    assert steps(face="left") == ["inspect", "choose", "head", "arrays", "matte", "background", "sync"]
    every_step = ["inspect", "track", "choose", "crop", "head", "arrays", "matte", "background"]
    assert steps(fps=12.5) == [*every_step, "audio_features", "sync"]
    monkeypatch.setattr(FakeMatting, "version", "1")
    assert steps() and contents(folder) == before  # the way back gives the same bytes


def test_a_missing_or_truncated_file_is_written_again(video, tmp_path):
    folder = tmp_path / "clip"
    prepare([video], folder, PrepareConfig(**SMALL))
    before = contents(folder)
    (folder / "audio.wav").unlink()
    with open(folder / "matte.u8", "r+b") as handle:
        handle.truncate(10)
    prepare([video], folder, PrepareConfig(**SMALL))
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["frames.u8", "audio_features.safetensors", ".work/track/faces.f32"])
def test_one_flipped_bit_is_repaired(video, tmp_path, name):
    folder = tmp_path / "clip"
    prepare([video], folder, PrepareConfig(**SMALL))
    before, path = contents(folder), folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    if name[0] == ".":  # found when another option uses the step again
        prepare([video], folder, PrepareConfig(crop="centre", **SMALL))
    result = prepare([video], folder, PrepareConfig(**SMALL))
    assert contents(folder) == before and result["clips"][0]["steps_run"]


def test_a_silent_video_gives_a_clip_without_sound(tmp_path):
    silent = film(tmp_path / "silent.mp4", one_face, sound=False)
    result = prepare([silent], tmp_path / "clip", PrepareConfig(**SMALL))
    clip = Clip.open(tmp_path / "clip")
    assert result["clips"][0]["sound"] is False and clip.meta.audio is None
    assert clip.audio_path is None and clip.audio_features == {}


def test_a_missing_gpu_is_an_error(video, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SetupError, match="no CUDA device"):
        prepare([video], tmp_path / "clip", PrepareConfig(**SMALL, device="cuda"))


def test_a_video_without_face_leaves_no_files(tmp_path):
    empty = film(tmp_path / "empty.mp4", lambda t: np.full((100, 120, 3), t, np.uint8))
    with pytest.raises(InputError, match="no face"):
        prepare([empty], tmp_path / "clip", PrepareConfig(**SMALL))
    assert [path.name for path in (tmp_path / "clip").iterdir()] in ([], [".lock"])


def test_frames_without_face_are_masked_and_the_sound_stays_in_sync(video, tmp_path):
    gone = film(
        tmp_path / "gone.mp4", lambda t: one_face(t) if not 10 <= t < 16 else np.full((200, 320, 3), 90, np.uint8)
    )
    notes = Notes()
    prepare([gone], tmp_path / "gone", PrepareConfig(**SMALL), notes)
    prepare([video], tmp_path / "whole", PrepareConfig(**SMALL))
    clip, whole = Clip.open(tmp_path / "gone"), Clip.open(tmp_path / "whole")
    assert clip.meta.no_face == [[10, 16]] and clip.meta.valid == FRAMES - 6
    assert np.flatnonzero(~clip.arrays["valid"]).tolist() == list(range(10, 16))
    assert np.isnan(clip.arrays["landmarks"][10:16]).all() and np.isfinite(clip.arrays["landmarks"][:10]).all()
    assert np.isfinite(clip.arrays["camera_to_world"]).all() and np.isfinite(clip.arrays["expression"]).all()
    np.testing.assert_array_equal(clip.audio_windows("logmel"), whole.audio_windows("logmel"))
    assert any("6 of 30 frames do not show the face" in warning for warning in notes.warnings)


def two_faces(t):
    image = np.full((200, 400, 3), 90, np.uint8)
    draw_face(image, 30, 50, 70)
    draw_face(image, 260, 50, 80, 1)
    return image


def test_of_two_faces_one_must_be_chosen(tmp_path):
    video = film(tmp_path / "two.mp4", two_faces)
    with pytest.raises(InputError, match=r"several people.*--face"):
        prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))
    for face, person in (("left", 0), ("right", 1), ("largest", 1), ("0", 0)):
        prepare([video], tmp_path / "clip", PrepareConfig(**SMALL, face=face))
        clip = Clip.open(tmp_path / "clip")
        x, y = clip.arrays["landmarks"][5, [39, 42]].mean(axis=0).astype(int)
        assert np.abs(clip.frames[5, y, x].astype(int) - drawn_face.SKINS[person]).max() < 30
        assert clip.meta.several_faces == [[0, FRAMES]]


def mean_face():
    """The drawn face in head space, bent a little."""
    flat = (drawn_face.TEMPLATE - [0.5, 0.27]) * 8.89 / 0.6
    depth = 0.05 * (flat**2).sum(axis=1) - 3.17
    return np.stack([flat[:, 0], flat[:, 1] - 2.66, depth], axis=-1).astype(np.float32)


def test_one_frame_needs_a_tracker_with_a_mean_face(tmp_path, monkeypatch):
    video = film(tmp_path / "one.mp4", one_face, frames=1, sound=False)
    with pytest.raises(InputError, match="too few frames to learn a head shape"):
        prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))
    assert not (tmp_path / "clip" / "clip.json").exists()
    monkeypatch.setattr(FakeTracker, "canonical_points", mean_face())
    prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))
    assert Clip.open(tmp_path / "clip").frame_count == 1


def test_usable_videos_are_prepared_beside_unusable_ones(tmp_path, video):
    bad = film(tmp_path / "bad.mp4", lambda t: np.full((100, 120, 3), t, np.uint8), sound=False)
    good = film(tmp_path / "good.mp4", one_face, sound=False)
    with pytest.raises(InputError, match=r"1 of 2 videos cannot be used, first bad\.mp4: no face"):
        prepare([bad, good], tmp_path / "out", PrepareConfig(**SMALL))
    assert Clip.open(tmp_path / "out" / "good").frame_count == FRAMES


def test_impossible_requests_are_refused(tmp_path, video):
    with pytest.raises(UsageError, match="no video"):
        clip_folders([], tmp_path)
    with pytest.raises(InputError, match="no file"):
        clip_folders([tmp_path / "not there.mp4"], tmp_path)
    (tmp_path / "a").mkdir()
    twin = tmp_path / "a" / video.name
    twin.write_bytes(b"")
    with pytest.raises(UsageError, match="two videos are called"):
        clip_folders([video, twin], tmp_path)
    with pytest.raises(UsageError, match="no tracker called"):
        prepare([video], tmp_path / "clip", PrepareConfig(size=64, tracker="nobody"))
    with folder_lock(tmp_path / "busy"), pytest.raises(SetupError, match="in use"):
        prepare([video], tmp_path / "busy", PrepareConfig(**SMALL))


RUNNER = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.helpers import drawn_face
sys.modules["jean.preparation.background"] = drawn_face.plate_module()
from jean.features.registry import ADAPTERS
ADAPTERS["tracker"]["fake"] = "tests.helpers.drawn_face:FakeTracker"
ADAPTERS["matting"]["fake"] = "tests.helpers.drawn_face:FakeMatting"
from jean.preparation.prepare import prepare
from jean.preparation.config import PrepareConfig
print("ready", flush=True)
prepare([sys.argv[2]], sys.argv[3], PrepareConfig(size=64, tracker="fake", matting="fake"))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_preparation_resumes_and_gives_the_same_clip(video, tally: Tally, tmp_path):
    prepare([video], tmp_path / "whole", PrepareConfig(**SMALL))
    want = contents(tmp_path / "whole")

    def start(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(ROOT), str(video), str(folder)], stdout=subprocess.PIPE
        )  # with as many threads as here: the last bit of a sum depends on it
        assert process.stdout.readline() == b"ready\n"
        return process

    def finished(folder):
        return len(list(folder.glob(".work/*/step.json")))

    begun = time.monotonic()
    assert start(tmp_path / "timed").wait() == 0
    lasts_s = time.monotonic() - begun
    for n in range(tally.count(20, 7)):
        tally.tried += 1
        folder = tmp_path / f"killed{n}"
        process = start(folder)
        if n < 5:  # as soon as so many steps are done, on a machine of any speed
            while finished(folder) < n + 1 and process.poll() is None:
                time.sleep(0.002)
        else:
            time.sleep(lasts_s * (n - 4.5) / (15 if tally.full else 2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        whole, done = (folder / "clip.json").exists(), finished(folder)
        if whole:
            assert contents(folder) == want
        figures = prepare([video], folder, PrepareConfig(**SMALL))["clips"][0]
        assert whole or len(figures["steps_reused"]) >= done >= min(n + 1, 5) * (n < 5)
        assert contents(folder) == want
        assert not list((folder / ".work").glob("*.partial"))


def test_emotion_features_are_added_to_a_finished_clip(video, tmp_path, monkeypatch):
    monkeypatch.setitem(ADAPTERS["emotion"], "fake", "tests.helpers.drawn_face:FakeEmotion")
    prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))
    assert Clip.open(tmp_path / "clip").meta.emotion is None
    result = prepare([video], tmp_path / "clip", PrepareConfig(**SMALL, emotion=("fake",)))
    assert result["clips"][0]["steps_run"] == ["emotion_features"]
    clip = Clip.open(tmp_path / "clip")
    assert clip.meta.emotion == {"fake": EmotionSpec(version="1", width=3, network=True)}
    features = clip.emotion_features["fake"]
    assert features.shape == (FRAMES, 3)
    # the frame without a face lies between its neighbours
    assert np.allclose(features[2], (features[1] + features[3]) / 2, atol=1e-4)
    prepare([video], tmp_path / "clip", PrepareConfig(**SMALL))
    assert Clip.open(tmp_path / "clip").emotion_features == {}


def test_folders_of_videos_and_of_numbered_images_are_prepared(tmp_path, video):
    import cv2

    from jean.media import read_audio, read_frames, write_wav

    takes = tmp_path / "takes"
    (takes / "plates").mkdir(parents=True)
    (takes / "a.mp4").write_bytes(video.read_bytes())
    (takes / "notes.txt").write_text("no video")
    frames = [image for _, image in read_frames(video)]
    for n, image in enumerate(frames):
        cv2.imwrite(str(takes / "plates" / f"{n + 100}.png"), image[..., ::-1])
    write_wav(takes / "plates" / "audio.wav", read_audio(video), 16000)
    assert clip_folders([takes], tmp_path / "out") == {
        takes / "a.mp4": tmp_path / "out" / "a",
        takes / "plates": tmp_path / "out" / "plates",
    }
    result = prepare([takes], tmp_path / "out", PrepareConfig(**SMALL))
    assert [Path(clip["clip"]).name for clip in result["clips"]] == ["a", "plates"]
    first, second = (Clip.open(tmp_path / "out" / name) for name in ("a", "plates"))
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.arrays["landmarks"], second.arrays["landmarks"])
    assert second.audio_path is not None
    # the rate of the images is that of the clip, so no image is left out
    prepare([takes / "plates"], tmp_path / "fast", PrepareConfig(**SMALL, fps=30.0))
    assert Clip.open(tmp_path / "fast").frame_count == len(frames)
    again = prepare([takes / "plates"], tmp_path / "fast", PrepareConfig(**SMALL, fps=30.0))
    assert again["clips"][0]["steps_run"] == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no video and no numbered images"):
        clip_folders([tmp_path / "empty"], tmp_path)
    with pytest.raises(InputError, match="web address"):
        clip_folders(["https://example.org/me.mp4"], tmp_path)
