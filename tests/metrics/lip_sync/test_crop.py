"""The crop of SyncNet's authors, and the metric that uses it."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from jean.errors import InputError, SetupError
from jean.features.base import Face
from jean.metrics.base import FramePair, MetricContext, Sound, TrackedFrame
from jean.metrics.crops import face_box
from jean.metrics.lip_sync.crop import TrackCropper, crop, whole_frame
from jean.metrics.lip_sync.metric import LipSyncError, LipSyncOptions
from jean.metrics.lip_sync.sound import to_int16
from jean.metrics.lip_sync.sync import lip_sync_error


def picture(t: int, width: int = 160, height: int = 120) -> np.ndarray:
    return np.random.default_rng(t).integers(0, 256, (height // 4, width // 4, 3), np.uint8).repeat(4, 0).repeat(4, 1)


def boxes(count: int, seed: int = 0) -> list[tuple[float, float, float, float]]:
    rng = np.random.default_rng(seed)
    found = []
    for t in range(count):
        x, y, half = 80 + 10 * np.sin(t / 5) + rng.normal(), 60 + rng.normal(), 30 + rng.normal()
        found.append((x - half, y - 0.9 * half, x + half, y + half))
    return found


def authors_crops(images: list[np.ndarray], track: np.ndarray) -> list[np.ndarray]:
    """The steps of the original over a whole track [T, 4], with explicit padding."""
    import cv2
    from scipy.signal import medfilt

    size = medfilt(np.maximum(track[:, 3] - track[:, 1], track[:, 2] - track[:, 0]) / 2, 13)
    ys, xs = medfilt((track[:, 1] + track[:, 3]) / 2, 13), medfilt((track[:, 0] + track[:, 2]) / 2, 13)
    found = []
    for image, s, y, x in zip(images, size, ys, xs, strict=True):
        pad = int(s * 1.8)
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), constant_values=110)
        cut = padded[int(y + pad - s) : int(y + pad + s * 1.8), int(x + pad - s * 1.4) : int(x + pad + s * 1.4)]
        found.append(cv2.resize(cut, (224, 224)))
    return found


@pytest.mark.parametrize("count", [7, 13, 40])
def test_crops_equal_those_of_the_authors(count: int) -> None:
    images, track = [picture(t) for t in range(count)], boxes(count)
    cropper = TrackCropper()
    for image, box in zip(images, track, strict=True):
        cropper.add(image, box)
    cropper.finish()
    assert len(cropper.tracks) == 1 and cropper.tracks[0].first == 0
    np.testing.assert_array_equal(cropper.tracks[0].crops, authors_crops(images, np.array(track)))


def test_tracks_of_six_frames_use_one_box() -> None:
    images, track = [picture(t) for t in range(6)], boxes(6)
    cropper = TrackCropper()
    for image, box in zip(images, track, strict=True):
        cropper.add(image, box)
    cropper.finish()
    found = cropper.tracks[0].crops
    halves = [max(box[2] - box[0], box[3] - box[1]) / 2 for box in track]
    assert len(found) == 6
    y, x = (float(np.median([(box[n] + box[n + 2]) / 2 for box in track])) for n in (1, 0))
    want = crop(images[3], float(np.median(halves)), y, x)
    np.testing.assert_array_equal(found[3], want)


def test_gaps_are_interpolated_and_frames_outside_the_track_left_out() -> None:
    images, track = [picture(t) for t in range(40)], boxes(40)
    hidden = {0, 1, 10, 11, 12, 13, 38, 39}
    cropper = TrackCropper()
    for t, (image, box) in enumerate(zip(images, track, strict=True)):
        cropper.add(image, None if t in hidden else box)
    cropper.finish()
    assert [(track.first, len(track.crops)) for track in cropper.tracks] == [(2, 36)]
    filled = np.array(track)
    for column in range(4):
        seen = [t for t in range(40) if t not in hidden]
        filled[:, column] = np.interp(np.arange(40), seen, filled[seen, column])
    np.testing.assert_array_equal(cropper.tracks[0].crops, authors_crops(images[2:38], filled[2:38]))


@pytest.mark.parametrize(("missing", "tracks"), [(24, 1), (25, 2)])
def test_a_gap_of_25_frames_ends_a_track(missing: int, tracks: int) -> None:
    cropper = TrackCropper()
    for t in range(missing + 10):
        cropper.add(picture(t), None if 5 <= t < 5 + missing else (50, 30, 110, 90))
    cropper.finish()
    assert len(cropper.tracks) == tracks
    assert cropper.tracks[-1].first == (0 if tracks == 1 else 5 + missing)
    assert sum(len(track.crops) for track in cropper.tracks) == (missing + 10 if tracks == 1 else 10)


def test_a_jump_of_the_face_begins_another_track() -> None:
    cropper = TrackCropper()
    for t in range(12):
        cropper.add(picture(t), (10, 10, 60, 60) if t < 6 else (90, 40, 140, 90))
    cropper.finish()
    assert [(track.first, len(track.crops)) for track in cropper.tracks] == [(0, 6), (6, 6)]
    empty = TrackCropper()
    empty.add(picture(0), None)
    empty.finish()
    assert empty.tracks == []


def test_the_cropper_holds_at_most_31_frames() -> None:
    cropper = TrackCropper()
    most = 0
    for t in range(300):
        cropper.add(picture(t % 7), None if t % 60 > 38 else (50, 30, 110, 90))
        for track in cropper.tracks:
            track.crops.clear()
        if cropper._open is not None:
            most = max(most, len(cropper._open._images))
    assert most <= 31


def shape(x: float, y: float, size: float = 26.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return np.stack([x + size * np.cos(angle), y + size * np.sin(angle)], 1)


def side(t: int, found: bool = True) -> TrackedFrame:
    points = shape(80, 60)
    return TrackedFrame(
        picture(t), Face(points, points, np.full((2, 2), np.nan), np.zeros(0), None, 1.0) if found else None
    )


def write_wav(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(samples.astype("<i2").tobytes())
    return path


def noise(seconds: float, seed: int) -> np.ndarray:
    return to_int16(np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16000)))


def context(tmp_path: Path, *sounds: Sound) -> MetricContext:
    return MetricContext(25.0, tmp_path / "a.mp4", None, False, "dot", "1", sounds=sounds)


def test_each_protocol_scores_its_own_crop(tmp_path: Path, models: Path) -> None:
    audio = noise(1.0, 0)
    sound = Sound(write_wav(tmp_path / "a.wav", audio), 0.0, "audio source")
    images = [picture(t) for t in range(14)]
    box = np.array(face_box(shape(80, 60)), float)
    wanted = {
        "track": np.stack(authors_crops(images, np.tile(box, (14, 1)))),
        "frame": np.stack([whole_frame(image) for image in images]),
    }
    for protocol, crops in wanted.items():
        metric = LipSyncError(context(tmp_path, sound), LipSyncOptions(protocol=protocol))
        for t in range(14):
            metric.update(FramePair(t / 25, side(t), None))
        scores = metric.result()
        want = lip_sync_error(crops, audio, models / "syncnet_v2.model")
        assert scores.values["lse_c"] == pytest.approx(want.confidence, abs=1e-4)
        assert scores.values["lse_d"] == pytest.approx(want.distance, abs=1e-4)
        assert scores.values["sync_offset"] == want.offset
        assert any(f"protocol {protocol}" in note for note in scores.notes)
        np.testing.assert_allclose(scores.series["lse_c"], want.frame_confidence, atol=1e-4)


def test_two_tracks_are_averaged_by_length(tmp_path: Path, models: Path) -> None:
    audio = noise(3.0, 1)
    sound = Sound(write_wav(tmp_path / "a.wav", audio), 0.0, "result")
    metric = LipSyncError(context(tmp_path, sound))
    for t in range(50):
        metric.update(FramePair(t / 25, side(t, not 10 <= t < 36), None))
    scores = metric.result()
    box = np.array(face_box(shape(80, 60)), float)
    parts = []
    for first, stop in ((0, 10), (36, 50)):
        crops = np.stack(authors_crops([picture(t) for t in range(first, stop)], np.tile(box, (stop - first, 1))))
        parts.append(lip_sync_error(crops, audio[640 * first :], models / "syncnet_v2.model"))
    want = np.average([part.confidence for part in parts], weights=[5, 9])
    assert scores.values["lse_c"] == pytest.approx(want, abs=1e-4)
    assert any("2 face tracks" in note for note in scores.notes)
    assert any("result's own sound" in note for note in scores.notes)


def test_lip_sync_of_a_system_without_audio_averages_all_sounds(tmp_path: Path, models: Path) -> None:
    sounds = [noise(1.0, n) for n in range(3)]
    paths = [write_wav(tmp_path / f"{n}.wav", sound) for n, sound in enumerate(sounds)]
    sources = [Sound(path, 0.0, "audio source") for path in paths]
    metric = LipSyncError(context(tmp_path, *sources), LipSyncOptions(protocol="frame"))
    for t in range(12):
        metric.update(FramePair(t / 25, side(t), None))
    scores = metric.result()
    crops = np.stack([whole_frame(picture(t)) for t in range(12)])
    alone = [lip_sync_error(crops, sound, models / "syncnet_v2.model") for sound in sounds]
    assert scores.values["lse_c"] == pytest.approx(np.mean([one.confidence for one in alone]), abs=1e-4)
    assert np.isnan(scores.values["sync_offset"])
    assert any("mean over 3 sounds" in note for note in scores.notes)


def test_lip_sync_without_sound_face_or_weights_says_why(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = LipSyncError(context(tmp_path))
    silent.update(FramePair(0.0, side(0), None))
    assert np.isnan(silent.result().values["lse_c"])
    assert "--audio-source" in silent.result().notes[0]
    sound = Sound(write_wav(tmp_path / "a.wav", noise(1.0, 0)), 0.0, "result")
    faceless = LipSyncError(context(tmp_path, sound))
    faceless.update(FramePair(0.0, side(0, False), None))
    assert any("no face" in note for note in faceless.result().notes)
    short = LipSyncError(context(tmp_path, sound))
    short.update(FramePair(0.0, side(0), None))
    assert any("6 frames" in note for note in short.result().notes)
    with pytest.raises(InputError):
        LipSyncError(context(tmp_path, Sound(tmp_path / "absent.wav", 0.0, "result")))
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    with pytest.raises(SetupError, match=r"jean models pull syncnet_v2\.model"):
        LipSyncError(context(tmp_path, sound))
    with pytest.raises(SetupError):
        LipSyncError.facts(context(tmp_path, sound), LipSyncOptions())
