"""Memory of a training per minute of video: what grows with it stays in files."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from jean.clips.arrays import map_arrays, read_arrays
from jean.clips.audio_track import AudioTrack
from jean.clips.meta import ARRAYS_FILE, AUDIO_FILE
from jean.drivers import offsets
from jean.drivers.audio_windows import WindowRows
from jean.drivers.person_frames import open_person
from tests.helpers.tiny_clip import make_clip


@pytest.mark.parametrize("file", [ARRAYS_FILE, AUDIO_FILE])
def test_mapped_arrays_are_those_of_the_library(tmp_path, file):
    path = make_clip(tmp_path / "a", frames=7, size=16) / file
    mapped, read = map_arrays(path), read_arrays(path)
    assert set(mapped) == set(read)
    for name, array in read.items():
        np.testing.assert_array_equal(mapped[name], array)
        assert mapped[name].dtype == array.dtype and not mapped[name].flags.writeable


def test_rows_of_several_clips_follow_one_another():
    parts = [np.arange(n * 6, dtype=np.float32).reshape(n, 2, 3) + 100 * n for n in (3, 1, 4)]
    rows, whole = WindowRows([AudioTrack.of_windows(part) for part in parts]), np.concatenate(parts)
    assert rows.shape == (8, 2, 3) and len(rows) == 8
    for indices in (np.arange(8), np.array([7, 0, 3, 3, 2]), np.array([[4, 2], [0, 7]]), np.array([], int)):
        np.testing.assert_array_equal(rows.at(indices), whole[indices])


def test_a_training_holds_neither_audio_windows_nor_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(offsets, "PIECE", 100)
    folder = make_clip(tmp_path / "a", frames=1500, size=8)
    audio_bytes = (folder / AUDIO_FILE).stat().st_size
    open_person([folder])  # modules that are imported at the first call
    tracemalloc.start()
    data = open_person([folder])
    data.audio.at(np.arange(16))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert audio_bytes > 7_000_000, "all windows in memory would be noticed"
    assert peak_bytes < 3500 * 1500
