"""Writing video: frames, colours, rates, audio, tags, atomic files."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from jean.errors import InputError, SetupError, UsageError
from jean.media import (
    FramesWriter,
    VideoWriter,
    count_frames,
    open_writer,
    probe,
    rational_fps,
    read_audio_native,
    read_frames,
    read_tags,
    read_wav,
)
from tests.helpers.media_make import chirp, lag_samples, number_of, picture


def scene(width: int = 192, height: int = 128) -> np.ndarray:
    """Smooth colours of every hue, RGB uint8 [H, W, 3]."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([255 * x, 255 * y, 127 + 127 * np.sin(6 * (x + y))], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    "fps, exact",
    [(25, (25, 1)), (29.97, (30000, 1001)), (30000 / 1001, (30000, 1001)), (23.976, (24000, 1001)),
     (23.98, (24000, 1001)), (59.94, (60000, 1001)), (12.5, (25, 2)), (30, (30, 1)), (24, (24, 1))],
)  # fmt: skip
def test_rounded_rates_become_exact_fractions(fps, exact):
    assert rational_fps(fps) == Fraction(*exact)


@pytest.mark.parametrize("fps", [0, -25, float("nan"), float("inf"), 1e9])
def test_impossible_rates_are_rejected(fps):
    with pytest.raises(UsageError):
        rational_fps(fps)


@pytest.mark.parametrize("fps", [25, 30000 / 1001, 24000 / 1001, 12.5, 60])
def test_written_frames_are_read_at_their_times(tmp_path, fps):
    with VideoWriter(tmp_path / "o.mp4", (96, 64), fps) as writer:
        for number in range(30):
            writer.write(picture(number))
    info = probe(tmp_path / "o.mp4")
    assert info.frame_count == 30 and info.fps == pytest.approx(fps, rel=1e-9) and not info.variable_rate
    seen = list(read_frames(tmp_path / "o.mp4"))
    assert [number_of(image) for _, image in seen] == list(range(30))
    assert np.allclose([time for time, _ in seen], np.arange(30) / fps, atol=1e-4)


@pytest.mark.parametrize("size", [(192, 128), (191, 127), (193, 128), (640, 720)])
def test_colours_survive_at_every_size(tmp_path, size):
    import av

    image = scene(*size)
    with VideoWriter(tmp_path / "o.mp4", size, 25) as writer:
        for _ in range(3):
            writer.write(image)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert bool(writer.note) == (even != size)
    _, back = next(read_frames(tmp_path / "o.mp4"))
    assert back.shape == (even[1], even[0], 3)
    error = back[: size[1], : size[0]].astype(int) - image
    assert np.abs(error).mean() < 1.5 and np.abs(error.mean(axis=(0, 1))).max() < 0.25
    with av.open(str(tmp_path / "o.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        assert tags == (1, 1, 1, 1) and context.pix_fmt == "yuv420p"


def test_flat_colours_are_within_two_levels(tmp_path):
    colours = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (224, 172, 140)]
    image = np.repeat(np.repeat(np.array(colours, np.uint8)[None], 64, 0), 32, 1)
    with VideoWriter(tmp_path / "o.mp4", (224, 64), 25, crf=4) as writer:
        writer.write(image)
    _, back = next(read_frames(tmp_path / "o.mp4"))
    assert np.abs(back[32, 16::32].astype(int) - colours).max() <= 2


@pytest.mark.parametrize("rate_hz, channels", [(16000, 1), (48000, 2), (44100, 2), (96000, 6)])
@pytest.mark.parametrize("duration_s", [1.2345, 0.011])
def test_written_audio_is_complete_and_aligned(tmp_path, rate_hz, channels, duration_s):
    sound = chirp(duration_s, rate_hz, channels)
    frames = count_frames(len(sound) / rate_hz, 25)
    with VideoWriter(tmp_path / "o.mp4", (96, 64), 25, (sound, rate_hz)) as writer:
        for number in range(frames):
            writer.write(picture(number))
    assert probe(tmp_path / "o.mp4").frame_count == frames
    decoded, heard_hz = read_audio_native(tmp_path / "o.mp4")
    assert heard_hz == rate_hz and decoded.shape == sound.shape
    if duration_s > 0.5:
        for channel in range(min(channels, 2)):
            assert abs(lag_samples(sound[:, channel], decoded[:, channel])) <= rate_hz / 1000
            assert np.corrcoef(sound[:, channel], decoded[:, channel])[0, 1] > 0.97


def test_a_sampling_rate_that_aac_lacks_becomes_48_khz(tmp_path):
    with VideoWriter(tmp_path / "o.mp4", (96, 64), 25, (chirp(1, 18000)[:, 0], 18000)) as writer:
        writer.write(picture(0))
    decoded, rate_hz = read_audio_native(tmp_path / "o.mp4")
    assert (rate_hz, len(decoded)) == (48000, 48000)
    assert abs(lag_samples(chirp(1, 48000)[:, 0], decoded[:, 0])) <= 48


@pytest.mark.parametrize("frames", [1, 10, 60])
def test_audio_is_complete_for_any_number_of_frames(tmp_path, frames):
    with VideoWriter(tmp_path / "o.mp4", (96, 64), 25, (chirp(1, 16000), 16000)) as writer:
        for number in range(frames):
            writer.write(picture(number))
    assert len(read_audio_native(tmp_path / "o.mp4")[0]) == 16000
    assert probe(tmp_path / "o.mp4").frame_count == frames


def test_tags_are_written_and_the_index_comes_first(tmp_path):
    tags = {"comment": "synthetic=true; tool=jean", "title": '讲话 "q"', "description": "made"}
    with VideoWriter(tmp_path / "o.mp4", (96, 64), 25, metadata=tags) as writer:
        writer.write(picture(0))
    found = read_tags(tmp_path / "o.mp4")
    assert {name: found[name] for name in tags} == tags
    data = (tmp_path / "o.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    "name", ["a b.mp4", "讲话.mp4", 'it\'s "q".mp4', "; touch canary;.mp4", "-i.mp4", "c:d|e.mp4", "%d.mp4"]
)
def test_special_characters_in_names_are_written(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_writer(name, (96, 64), 25) as writer:
        writer.write(picture(3))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert number_of(next(read_frames(name))[1]) == 3


@pytest.mark.parametrize("kind", [VideoWriter, FramesWriter])
def test_an_error_keeps_the_previous_file_and_leaves_no_other(tmp_path, kind):
    path = tmp_path / ("o.mp4" if kind is VideoWriter else "o")
    with kind(path, (96, 64), 25) as writer:
        writer.write(picture(1))
    before = sorted((one.name, one.stat().st_size) for one in tmp_path.rglob("*"))
    with pytest.raises(KeyError), kind(path, (96, 64), 25, (chirp(1, 16000), 16000)) as writer:
        for number in range(10):
            writer.write(picture(number))
        raise KeyError
    with pytest.raises(InputError, match="no frame"), kind(path, (96, 64), 25):
        pass
    with pytest.raises(ValueError, match="uint8"), kind(path, (96, 64), 25) as writer:
        writer.write(picture(0, 100, 64))
    assert sorted((one.name, one.stat().st_size) for one in tmp_path.rglob("*")) == before


FULL_DISK = """
import resource, signal, sys
import numpy as np
from jean.errors import SetupError
from jean.media import open_writer
limit = int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0)
try:
    with open_writer(sys.argv[1], (96, 64), 25, (noise.uniform(-1, 1, 16000), 16000)) as writer:
        for _ in range(25):
            writer.write(noise.integers(0, 255, (64, 96, 3), dtype=np.uint8))
except SetupError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "name, limit",
    [*(("o.mp4", n) for n in (0, 100, 40_000, 100_000)), ("o.gif", 100), ("o.gif", 100_000), ("o.webm", 100)],
)
def test_a_full_disk_gives_one_line_and_leaves_no_file(tmp_path, name, limit):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / name), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.startswith("cannot write") and done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_audio_that_cannot_be_written_is_rejected_before_writing(tmp_path):
    for wave in (np.full(100, np.nan), np.zeros((100, 9))):
        with pytest.raises(InputError):
            VideoWriter(tmp_path / "o.mp4", (96, 64), 25, (wave, 16000))
    for path, size in ((tmp_path / "o.mp4", (0, 64)), (tmp_path / "o.txt", (96, 64))):
        with pytest.raises(UsageError):
            open_writer(path, size, 25)
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupError), VideoWriter(tmp_path / "file" / "o.mp4", (96, 64), 25) as writer:
        writer.write(picture(0))


def test_without_pyav_png_frames_and_a_wav_are_written(tmp_path, monkeypatch):
    import cv2

    monkeypatch.setitem(sys.modules, "av", None)
    sound = chirp(0.2, 16000, 2)
    with open_writer(tmp_path / "out.mp4", (97, 65), 29.97, (sound, 16000), metadata={"comment": "made"}) as writer:
        for number in range(6):
            writer.write(picture(number, 97, 65))
    assert writer.path == tmp_path / "out_frames" and "pip install av" in writer.note
    names = sorted(path.name for path in writer.path.iterdir())
    assert names == [*(f"{number:06d}.png" for number in range(6)), "audio.wav", "frames.json"]
    for number in range(6):
        image = cv2.imread(str(writer.path / f"{number:06d}.png"))[..., ::-1]
        assert np.array_equal(image, picture(number, 97, 65))
    facts = json.loads((writer.path / "frames.json").read_text())
    assert facts == {"fps": [30000, 1001], "size": [97, 65], "frames": 6, "metadata": {"comment": "made"}}
    assert np.abs(read_wav(writer.path / "audio.wav")[0] - sound).max() <= 2**-15
    with pytest.raises(SetupError, match="pip install av"):
        VideoWriter(tmp_path / "o.mp4", (96, 64), 25)


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="other files"), FramesWriter(tmp_path / "photos", (96, 64), 25):
        pass
    for count in (3, 2):
        with FramesWriter(tmp_path / "f", (96, 64), 25) as writer:
            for number in range(count):
                writer.write(picture(number))
    assert len(list((tmp_path / "f").glob("*.png"))) == 2


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    code = """
import resource, sys
from tests.helpers.media_make import picture
from jean.media import VideoWriter, read_frames
path, count = sys.argv[1], int(sys.argv[2])
image = picture(1, 320, 180)
with VideoWriter(path, (320, 180), 25, crf=30) as writer:
    for n in range(count):
        writer.write(image)
assert sum(1 for _ in read_frames(path, 30)) >= count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = []
    for count in (200, 1000):
        command = [sys.executable, "-c", code, str(tmp_path / "o.mp4"), str(count)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2], check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_webm_holds_vp9_and_opus(tmp_path, rate_hz):
    import av

    path, sound = tmp_path / "o.webm", chirp(1.2, rate_hz, 2)
    tags = {"comment": "synthetic=true; tool=jean", "description": "made"}
    with open_writer(path, (96, 64), 25, (sound, rate_hz), metadata=tags) as writer:
        for number in range(30):
            writer.write(picture(number))
    assert writer.note == ""
    with av.open(str(path)) as container:
        assert [stream.codec_context.codec.canonical_name for stream in container.streams] == ["vp9", "opus"]
    assert [number_of(image) for _, image in read_frames(path)] == list(range(30))
    _, image = next(iter(read_frames(path)))
    assert np.abs(image[-16:, 8:40].astype(int) - (200, 40, 40)).max() <= 6
    decoded, heard_hz = read_audio_native(path)
    assert heard_hz == 48000 and abs(len(decoded) - 57600) <= 960
    assert abs(lag_samples(chirp(1.2, 48000)[:, 0], decoded[:, 0])) <= 48
    found = {name.lower(): value for name, value in read_tags(path).items()}
    assert {name: found[name] for name in tags} == tags


@pytest.mark.parametrize(("fps", "frames"), [(25, 20), (30, 24), (60, 30)])
def test_a_gif_has_the_frames_and_the_mean_rate(tmp_path, fps, frames):
    path = tmp_path / "o.gif"
    with open_writer(path, (97, 65), fps, (chirp(1, 16000), 16000)) as writer:
        for number in range(frames):
            writer.write(picture(number, 97, 65))
    assert "no sound" in writer.note
    seen = list(read_frames(path))
    step = 2 if fps == 60 else 1
    assert [number_of(image) for _, image in seen] == list(range(0, frames, step))
    np.testing.assert_allclose([time for time, _ in seen], np.arange(0, frames, step) / fps, atol=0.0051)
    assert np.abs(seen[0][1][-16:, 8:40].astype(int) - (200, 40, 40)).max() <= 4
    with open_writer(tmp_path / "s.gif", (192, 128), 25) as writer:
        writer.write(scene())
    assert writer.note == ""
    assert np.abs(next(iter(read_frames(tmp_path / "s.gif")))[1].astype(int) - scene()).mean() < 8


def test_a_gif_without_frames_leaves_no_file(tmp_path):
    with pytest.raises(InputError, match="no frame"), open_writer(tmp_path / "o.gif", (96, 64), 25):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_path_without_a_suffix_is_a_folder_of_png_frames(tmp_path):
    with open_writer(tmp_path / "frames", (96, 64), 50, (chirp(0.2, 16000), 16000)) as writer:
        for number in range(10):
            writer.write(picture(number))
    assert writer.note == "" and writer.path == tmp_path / "frames"
    assert [number_of(image) for _, image in read_frames(tmp_path / "frames")] == list(range(10))
    assert probe(tmp_path / "frames").fps == 50 and probe(tmp_path / "frames").has_audio
    with pytest.raises(UsageError, match="unknown suffix"):
        open_writer(tmp_path / "frames.png", (96, 64), 25)
