import numpy as np

from jean.clips.audio_track import AudioTrack
from jean.drivers.audio_windows import WindowRows, extract_windows
from jean.features.audio.logmel import LogMel


def test_sound_may_be_longer_or_shorter_than_the_video():
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    extractor = LogMel()
    long = extract_windows(extractor, wave, 10, 25.0)
    short = extract_windows(extractor, wave, 40, 25.0)
    assert long.shape == (10, 16, 80) and short.shape == (40, 16, 80)
    np.testing.assert_array_equal(long, short[:10])
    assert short[-1].max() == 0 and np.isfinite(short).all()


def test_windows_of_late_sound_are_taken_later():
    windows = [np.arange(4.0).reshape(4, 1, 1), 10 + np.arange(3.0).reshape(3, 1, 1)]
    parts = [AudioTrack.of_windows(each) for each in windows]
    rows = WindowRows(parts, [2, -1])
    assert rows.at(np.arange(7))[:, 0, 0].tolist() == [2, 3, 3, 3, 10, 10, 11]
    assert WindowRows(parts).at(np.arange(7))[:, 0, 0].tolist() == [0, 1, 2, 3, 10, 11, 12]
