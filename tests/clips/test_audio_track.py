"""Windows of audio features that are cut from rows."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from jean.clips.audio_track import AudioTrack, first_rows
from jean.clips.clip import Clip
from jean.clips.meta import AUDIO_FILE
from jean.clips.writer import ClipWriter
from jean.files import write_safetensors
from tests.helpers.tiny_clip import make_clip, rewrite


def test_first_rows_equal_values_by_hand():
    # 25 fps, 50 rows per second: frame 0 is at 0.02 s = row 1; four rows around it begin at -0.5, the later tie is 0
    assert first_rows(3, 25.0, 50.0, 4).tolist() == [0, 2, 4]
    # five rows around row 1: -1 to 3
    assert first_rows(3, 25.0, 50.0, 5).tolist() == [-1, 1, 3]


@pytest.mark.parametrize("fps", [23.976, 25.0, 29.97, 30.0, 60.0])
@pytest.mark.parametrize("window", [1, 15, 16])
def test_window_middles_are_within_half_a_row_of_the_frame(fps, window):
    count = round(600 * fps)  # ten minutes, to detect drift
    middle_s = (first_rows(count, fps, 50.0, window) + (window - 1) / 2) / 50.0
    assert np.abs(middle_s - (np.arange(count) + 0.5) / fps).max() <= 0.5 / 50.0 + 1e-6


def test_rows_beyond_the_sound_are_zeros():
    rows = np.arange(1, 6, dtype=np.float32)[:, None]
    track = AudioTrack.of_rows(rows, 6, 25.0, 25.0, 3)
    # frame t is halfway between rows t and t + 1: the later one is the middle
    assert track.windows()[..., 0].tolist() == [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0], [5, 0, 0], [0, 0, 0]]
    assert track.centre_rows()[:, 0].tolist() == [2, 3, 4, 5, 0, 0]
    assert track.at(np.array([[4, 0]]))[..., 0].tolist() == [[[5, 0, 0], [1, 2, 3]]]


def test_a_silent_track_is_zeros():
    track = AudioTrack.silent(5, 16, 80)
    assert track.shape == (5, 16, 80) == track.windows().shape and not track.windows().any()


@pytest.mark.parametrize("first", [[-3, -1, 0], [-9, -8], [2, 4], [5, 9], [20, 30], [-4, 12]])
def test_padding_changes_no_window_and_no_window_leaves_the_padded_rows(first):
    rows = np.random.default_rng(0).random((7, 2)).astype(np.float32) + 1
    track = AudioTrack(rows, np.array(first), 4)
    padded = track.padded()
    np.testing.assert_array_equal(padded.windows(), track.windows())
    assert padded.first.min() == 0 and padded.first.max() + 4 == len(padded.rows)


def test_joined_tracks_have_the_windows_of_each():
    random = np.random.default_rng(1)
    tracks = [
        AudioTrack.of_rows(random.random((n, 3)), count, 25.0, 50.0, 6) for n, count in ((20, 8), (9, 8), (30, 4))
    ]
    tracks.append(AudioTrack.of_windows(random.random((3, 6, 3))))
    joined = AudioTrack.joined(tracks)
    assert len(joined) == 23
    np.testing.assert_array_equal(joined.windows(), np.concatenate([track.windows() for track in tracks]))


def as_format_1(folder):
    """Stores the audio features of a clip as format 1 does: a window per frame."""
    windows = Clip.open(folder, pictures=False).audio_windows("logmel")
    write_safetensors(folder / AUDIO_FILE, {"logmel": windows})
    return rewrite(folder, format=1), windows


def test_a_clip_of_format_1_is_read(tmp_path):
    folder, windows = as_format_1(make_clip(tmp_path / "a", frames=6, size=16))
    clip = Clip.open(folder)
    assert clip.meta.format == 1 and clip.audio_track("logmel").shape == (6, 16, 80)
    np.testing.assert_array_equal(clip.audio_windows("logmel"), windows)


def test_rows_are_stored_once(tmp_path):
    folder = make_clip(tmp_path / "a", frames=50, size=8)
    rows = np.random.default_rng(0).random((101, 80)).astype(np.float16)
    track = AudioTrack.of_rows(rows, 50, 25.0, 50.0, 16)
    ClipWriter(folder, keep=True).audio_features({"logmel": track})
    as_format_1_bytes = 50 * 16 * 80 * 4
    assert (folder / AUDIO_FILE).stat().st_size < 101 * 80 * 2 + 50 * 4 + 300 < as_format_1_bytes / 14
    stored = load_file(folder / AUDIO_FILE)
    assert set(stored) == {"logmel", "logmel.first"} and stored["logmel"].dtype == np.float16


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"logmel": np.zeros((9, 80), np.float32)}, "logmel.first is missing"),
        ({"logmel": np.zeros((0, 80), np.float32), "logmel.first": np.zeros(6, np.int32)}, "shape .0, 80. instead"),
        ({"logmel": np.zeros((9, 79), np.float32), "logmel.first": np.zeros(6, np.int32)}, "shape .9, 79. instead"),
        ({"logmel": np.zeros((9, 80), np.int32), "logmel.first": np.zeros(6, np.int32)}, "has type I32"),
        ({"logmel": np.zeros((9, 80), np.float32), "logmel.first": np.zeros(5, np.int32)}, "logmel.first has shape"),
        ({"logmel": np.zeros((9, 80), np.float32), "logmel.first": np.zeros(6, np.float32)}, "and type F32"),
    ],
)
def test_wrong_rows_are_refused(tmp_path, arrays, message):
    from jean.errors import ArtefactError

    folder = make_clip(tmp_path / "a", frames=6, size=16)
    write_safetensors(folder / AUDIO_FILE, arrays)
    with pytest.raises(ArtefactError, match=message):
        Clip.open(rewrite(folder))
