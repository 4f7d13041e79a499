"""Still images and folders of numbered images as videos; web addresses are refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from jean.errors import InputError
from jean.media import FramesWriter, is_sequence, media_digest, probe, read_audio, read_frames, sample_frames
from jean.media.container import check_file
from tests.helpers.media_make import chirp, number_of, picture


def write_images(folder: Path, numbers, name: str = "shot_{:04d}.png", size: tuple[int, int] = (96, 64)) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / name.format(number)), picture(number % 1000, *size)[..., ::-1])
    return folder


def numbers(path: Path, *arguments) -> list[int]:
    return [number_of(image) for _, image in read_frames(path, *arguments)]


@pytest.mark.parametrize("name", ["shot_{:04d}.png", "{}.jpg", "a.{:03d}.jpeg", "x{}.bmp", "Take 2 - {}.TIF"])
def test_numbered_images_are_frames_in_the_order_of_their_numbers(tmp_path: Path, name: str) -> None:
    folder = write_images(tmp_path / "v", range(8, 20), name)
    assert is_sequence(folder)
    assert numbers(folder, 30.0) == list(range(8, 20)), "images without a rate are one frame each"
    assert numbers(folder, None, 0.08, 0.2) == [10, 11, 12], "without a rate they have 25 fps"
    info = probe(folder, fps=30.0)
    assert (info.width_px, info.height_px, info.fps, info.frame_count) == (96, 64, 30.0, 12)
    assert info.duration_s == pytest.approx(0.4) and not info.has_audio and not info.variable_rate
    sampled = [number_of(image) for _, image in sample_frames(folder, 4)]
    assert sampled == [8, 12, 15, 19]


def test_a_folder_that_jean_wrote_keeps_its_rate_and_sound(tmp_path: Path) -> None:
    sound = chirp(0.4, 16000)
    with FramesWriter(tmp_path / "v", (96, 64), 50.0, (sound, 16000)) as writer:
        for number in range(20):
            writer.write(picture(number))
    assert probe(tmp_path / "v", fps=25.0).fps == 50.0
    assert numbers(tmp_path / "v", 25.0) == list(range(0, 20, 2))
    assert probe(tmp_path / "v").audio_duration_s == pytest.approx(0.4)
    np.testing.assert_allclose(read_audio(tmp_path / "v"), sound[:, 0], atol=1e-4)


def test_missing_numbers_are_replaced_and_reported(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "v", [1, 2, 5, 6])
    told: list[str] = []
    info = probe(folder, told.append)
    assert told == [f"{folder}: 2 of 6 numbers are missing; other images replace them"]
    assert info.frame_count == 4 and info.duration_s == pytest.approx(6 / 25)
    assert numbers(folder, 25.0) == [1, 2, 2, 5, 5, 6]
    with pytest.raises(InputError, match="no audio"):
        read_audio(folder)


def test_sizes_shapes_and_several_sequences(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "v", range(3))
    write_images(folder, [3], size=(192, 128))
    assert [image.shape for _, image in read_frames(folder, 25.0)] == [(64, 96, 3)] * 4
    write_images(folder, [4], size=(96, 96))
    with pytest.raises(InputError, match=r"shot_0004.png has another shape"):
        list(read_frames(folder, 25.0))
    write_images(folder, [0, 1], "depth{}.png")
    with pytest.raises(InputError, match="several image sequences"):
        probe(folder)
    (folder / "take.mp4").write_bytes(b"x")
    assert not is_sequence(folder), "a folder of videos, which may hold thumbnails"
    assert not is_sequence(tmp_path), "folders without numbered images are none"


def test_every_kind_of_still_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".JPEG", ".bmp", ".webp", ".tiff"):
        path = tmp_path / f"photo{suffix}"
        cv2.imwrite(str(path), picture(5)[..., ::-1])
        assert numbers(path, 25.0) == [5], suffix
        assert probe(path).duration_s == pytest.approx(0.04)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="damaged"):
        list(read_frames(path))


def test_the_digest_follows_names_and_contents(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "v", range(3))
    before = media_digest(folder)
    (folder / "notes.txt").write_text("x")
    assert media_digest(folder) == before
    write_images(folder, [3])
    changed = media_digest(folder)
    (folder / "shot_0003.png").rename(folder / "shot_0004.png")
    assert len({before, changed, media_digest(folder)}) == 3


@pytest.mark.parametrize("address", ["https://example.org/a.mp4", "https:/example.org/a.mp4", "s3://bucket/a.mp4"])
def test_a_web_address_must_be_downloaded_first(address: str) -> None:
    for path in (address, Path(address)):
        with pytest.raises(InputError, match=r"://.* is a web address.*Download the file first"):
            check_file(path)


def test_other_names_with_colons_are_files(tmp_path: Path) -> None:
    path = tmp_path / "a:b.wav"
    path.write_bytes(b"x")
    assert check_file(path) == path
