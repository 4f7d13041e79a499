import numpy as np
import pytest

from jean.drivers.audio_windows import WindowRows, extract_windows, first_rows, frame_windows
from jean.features.audio.logmel import LogMel


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
    windows = frame_windows(rows, 6, 25.0, 25.0, 3)
    # frame t is halfway between rows t and t + 1: the later one is the middle
    assert windows[..., 0].tolist() == [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0], [5, 0, 0], [0, 0, 0]]
    assert frame_windows(np.zeros((1, 2), np.float32), 2, 25.0, 50.0, 4).shape == (2, 4, 2)


def test_windows_of_some_frames_are_those_of_all():
    rows = np.random.default_rng(0).random((31, 2)).astype(np.float32)
    whole = frame_windows(rows, 17, 25.0, 50.0, 4)
    parts = [frame_windows(rows, 17, 25.0, 50.0, 4, slice(first, first + 5)) for first in range(0, 17, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_sound_may_be_longer_or_shorter_than_the_video():
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    extractor = LogMel()
    long = extract_windows(extractor, wave, 10, 25.0)
    short = extract_windows(extractor, wave, 40, 25.0)
    assert long.shape == (10, 16, 80) and short.shape == (40, 16, 80)
    np.testing.assert_array_equal(long, short[:10])
    assert short[-1].max() == 0 and np.isfinite(short).all()


def test_windows_of_late_sound_are_taken_later():
    parts = [np.arange(4.0).reshape(4, 1, 1), 10 + np.arange(3.0).reshape(3, 1, 1)]
    rows = WindowRows(parts, [2, -1])
    assert rows.at(np.arange(7))[:, 0, 0].tolist() == [2, 3, 3, 3, 10, 10, 11]
    assert WindowRows(parts).at(np.arange(7))[:, 0, 0].tolist() == [0, 1, 2, 3, 10, 11, 12]
