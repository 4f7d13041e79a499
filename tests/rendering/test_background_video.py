"""A video behind the person: cropped to a square, at the rate of the result, continued beyond its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jean.errors import InputError
from jean.rendering.background_video import BackgroundVideo
from jean.rendering.config import RenderConfig
from tests.helpers.media_make import make_video, number_of


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "v.mp4", 4, size=(64, 64))


@pytest.mark.parametrize(
    ("repeat", "expected"),
    [
        ("mirror", [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]),
        ("hold", [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]),
        ("loop", [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
    ],
)
def test_a_short_video_continues(video: Path, repeat: str, expected: list[int]) -> None:
    background = BackgroundVideo(video, 48, 25.0, 10, repeat)
    assert [number_of(background.at(index)) for index in range(10)] == expected
    assert [number_of(background.at(index)) for index in (7, 2)] == [expected[7], 2], "in any order"
    frame = background.at(0)
    assert frame.shape == (48, 48, 3) and frame.flags.writeable


def test_only_the_length_of_the_result_is_read_at_its_rate(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", 60, fps=50, size=(64, 64))
    background = BackgroundVideo(video, 32, 25.0, 10, "mirror")
    assert [number_of(background.at(index)) for index in range(10)] == list(range(0, 20, 2))
    assert len(background._frames) == 10


def test_a_wide_video_is_cropped_to_its_middle(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", 1, size=(192, 64))
    image = BackgroundVideo(video, 64, 25.0, 1, "hold").at(0)[-16:].astype(int)
    assert np.abs(image[:, 4:28] - (200, 40, 40)).max() < 12 and np.abs(image[:, 36:60] - (40, 40, 200)).max() < 12


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(InputError, match="not a readable video"):
        BackgroundVideo(tmp_path / "notes.txt", 32, 25.0, 5, "hold")


def test_names_are_known_in_any_case_unless_a_file_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = RenderConfig(background="White", pose="STILL")
    assert (config.background, config.pose) == ("white", "still")
    (tmp_path / "Source").write_bytes(b"x")
    assert RenderConfig(background="Source").background == "Source"
    assert RenderConfig(background="SOURCE").background == "source"
