"""Reading video: times, rates, rotation, pixels, colours, damaged files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jean.errors import InputError, SetupError
from jean.media import count_frames, probe, read_frames, sample_frames
from jean.media.frame import turn_of
from jean.media.read import pick
from tests.helpers.media_make import ROTATIONS, chirp, make_video, number_of, picture, set_matrix

RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50), 60]


def numbers(path: Path, *args, **kwargs) -> list[int]:
    return [number_of(image) for _, image in read_frames(path, *args, **kwargs)]


@pytest.mark.parametrize(
    "duration_s, fps, frames", [(8, 25, 200), (8.0000625, 25, 201), (0, 25, 0), (0.1 + 0.2, 10, 3), (1 / 3, 30, 10)]
)
def test_frame_count_is_rounded_up(duration_s, fps, frames):
    assert count_frames(duration_s, fps) == frames


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 10**6), st.sampled_from([23.976, 24.0, 25.0, 29.97, 30.0, 60.0]))
def test_frame_count_inverts_the_duration_of_whole_frames(frames, fps):
    assert count_frames(frames / fps, fps) == frames


@pytest.mark.parametrize("fps", RATES)
def test_every_frame_comes_with_its_own_time(tmp_path, fps):
    path = make_video(tmp_path / "v.mp4", 40, fps)
    seen = list(read_frames(path))
    assert [number_of(image) for _, image in seen] == list(range(40))
    assert np.allclose([time for time, _ in seen], np.arange(40) / float(fps), atol=2e-5)


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("fps", [25, 29.97])
def test_changing_the_rate_selects_the_nearest_frame(tmp_path, source, fps):
    path = make_video(tmp_path / "v.mp4", 60, source)
    seen = list(read_frames(path, fps))
    assert len(seen) == count_frames(60 / float(source), fps)
    for number, (time, image) in enumerate(seen):
        assert time == pytest.approx(number / fps)
        assert abs(number_of(image) / float(source) - time) <= np.abs(np.arange(60) / float(source) - time).min() + 1e-4


def test_ten_minutes_drift_by_less_than_a_frame():
    for source in (30000 / 1001, 24000 / 1001, 30.0, 60.0, 25.0):
        count = round(600 * source)
        timed = ((round(n / source * 1000) / 1000, 1 / source, n) for n in range(count))  # Matroska's clock
        chosen = list(pick(timed, 25))
        assert abs(len(chosen) - 600 * 25) <= 1
        assert max(abs(n / source - time) for time, n in chosen[:-1]) <= 0.5 / source + 0.002


def test_variable_rate_video_is_read_by_time_stamps(tmp_path):
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.01, 0.12, 60)) - 0.01
    times -= times[0]
    path = make_video(tmp_path / "v.mp4", 60, times_s=times.tolist())
    info = probe(path)
    assert info.variable_rate and info.frame_count == 60
    assert info.fps == pytest.approx(59 / times[-1], rel=1e-3)
    for time, image in read_frames(path, 25):
        assert abs(times[number_of(image)] - time) <= np.abs(times - time).min() + 1e-4


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=40), st.sampled_from([5.0, 24.0, 25.0, 29.97]))
def test_pick_agrees_with_a_search_over_all_times(gaps_ms, fps):
    times = np.concatenate(([0], np.cumsum(gaps_ms))) / 1000
    lasts = 0.04
    chosen = list(pick([(t, lasts, n) for n, t in enumerate(times)], fps))
    assert len(chosen) >= int((times[-1] + lasts - 1e-3) * fps)
    for number, (time, n) in enumerate(chosen):
        assert time == pytest.approx(number / fps)
        assert abs(times[n] - time) <= np.abs(times - time).min() + 1e-6


def test_start_and_stop_select_a_range_of_time(tmp_path):
    path = make_video(tmp_path / "v.mp4", 50)
    assert numbers(path, None, 0.4, 0.8) == list(range(10, 20))
    assert numbers(path, 25, 0.4, 0.8) == list(range(10, 20))
    assert numbers(path, 5, 1.0) == [25, 30, 35, 40, 45]
    assert numbers(path, 25, 9.0) == []


def test_sampled_frames_are_evenly_spaced(tmp_path):
    path = make_video(tmp_path / "v.mp4", 100)
    seen = [number_of(image) for _, image in sample_frames(path, 10)]
    assert len(seen) == 10 and seen == sorted(set(seen)) and seen[0] < 10 and seen[-1] >= 90
    assert len(list(sample_frames(make_video(tmp_path / "w.mp4", 3), 10))) in (2, 3)


@pytest.mark.parametrize("name", ["v.mkv", "v.avi", "v.mov", "v.ts", "v.mpg", "v.webm"])
def test_common_containers_are_read(tmp_path, name):
    codec = {"v.avi": "mpeg4", "v.mpg": "mpeg2video", "v.webm": "libvpx"}.get(name, "libx264")
    path = make_video(tmp_path / name, 30, codec=codec, video_start_s=0.0 if name == "v.avi" else 1.4)
    assert numbers(path, 25) == list(range(30))
    info = probe(path)
    assert (info.frame_count, info.fps, info.variable_rate) == (30, 25, False)
    assert info.duration_s == pytest.approx(1.2, abs=0.002)


@pytest.mark.parametrize("degrees", ROTATIONS)
def test_rotation_is_applied(tmp_path, degrees):
    path = make_video(tmp_path / "v.mp4", 2)
    set_matrix(path, ROTATIONS[degrees])
    info = probe(path)
    upright = np.rot90(picture(0), -degrees // 90)
    _, image = next(read_frames(path))
    assert info.rotation == degrees and (info.height_px, info.width_px) == upright.shape[:2] == image.shape[:2]
    assert np.abs(image.astype(int) - upright).mean() < 12


@pytest.mark.parametrize("matrix", [*ROTATIONS.values(), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])
def test_rotation_agrees_with_the_definition_of_the_display_matrix(matrix):
    a, b, c, d = matrix
    image = np.arange(6).reshape(2, 3)
    wide = np.array([value << 16 for value in (a, b, 0, c, d, 0, 0, 0, 1 << 14)])
    points = {}
    for y in range(2):
        for x in range(3):
            points[a * x + c * y, b * x + d * y] = image[y, x]
    columns = sorted({x for x, _ in points})
    rows = sorted({y for _, y in points})
    expected = np.array([[points[x, y] for x in columns] for y in rows])
    assert np.array_equal(turn_of(wide).apply(image), expected)


def test_a_rotation_that_is_no_multiple_of_90_degrees_warns():
    messages = []
    turn_of(np.array([46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30]), messages.append)
    assert "not a multiple of 90°" in messages[0]


@pytest.mark.parametrize("aspect, width", [(Fraction(2), 192), (Fraction(16, 15), 102), (Fraction(1, 2), 48)])
def test_pixels_become_square(tmp_path, aspect, width):
    path = make_video(tmp_path / "v.mp4", 3, aspect=aspect)
    info = probe(path)
    assert (info.width_px, info.height_px) == (width, 64)
    images = [image for _, image in read_frames(path)]
    assert images[0].shape == (64, width, 3) and [number_of(image) for image in images] == [0, 1, 2]


@pytest.mark.parametrize(
    "codec, pix_fmt, name",
    [
        ("libx264", "yuv420p10le", "v.mp4"),
        ("libx264", "yuv444p", "v.mp4"),
        ("libx264", "yuvj420p", "v.mp4"),
        ("libx264", "gray", "v.mp4"),
        ("ffv1", "gray16le", "v.mkv"),
        ("ffv1", "bgr0", "v.mkv"),
        ("png", "rgba", "v.mov"),
        ("mpeg4", "yuv420p", "v.mp4"),
    ],
)
def test_common_pixel_formats_are_read(tmp_path, codec, pix_fmt, name):
    path = make_video(tmp_path / name, 4, codec=codec, pix_fmt=pix_fmt)
    images = [image for _, image in read_frames(path)]
    assert [number_of(image) for image in images] == [0, 1, 2, 3]
    assert images[0].dtype == np.uint8 and images[0].flags.c_contiguous and images[0].flags.writeable
    red = images[0][-16:, 8:40].reshape(-1, 3).mean(axis=0)
    grey = 0.299 * 200 + 0.587 * 40 + 0.114 * 40
    assert np.allclose(red, grey if "gray" in pix_fmt else (200, 40, 40), atol=6)


def test_untagged_hd_is_bt709_and_tags_take_precedence(tmp_path):
    import av

    for height, space, tag in ((64, 5, 2), (720, 1, 2), (64, 1, 1), (720, 5, 5)):
        path = tmp_path / f"{height}{space}{tag}.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, height, "yuv444p"
            stream.options = {"crf": "4"}
            stream.codec_context.colorspace = tag
            frame = av.VideoFrame.from_ndarray(picture(0, 96, height), "rgb24")
            frame = frame.reformat(
                format="yuv444p", src_colorspace=space, dst_colorspace=space, src_color_range=2, dst_color_range=1
            )
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        _, image = next(read_frames(path))
        assert np.abs(image[-16:, 8:40].astype(int) - (200, 40, 40)).max() <= 4, path


@pytest.mark.parametrize("size", [(97, 65), (2, 2), (1, 1), pytest.param((7680, 4320), marks=pytest.mark.slow)])
def test_odd_sizes_are_read(tmp_path, size):
    path = make_video(tmp_path / "v.mkv", 1, size=size, codec="mjpeg", pix_fmt="yuvj420p")
    info = probe(path)
    assert (info.width_px, info.height_px, info.frame_count) == (*size, 1)
    assert next(read_frames(path, 25))[1].shape == (size[1], size[0], 3)


def test_videos_of_one_frame_and_still_images_are_read(tmp_path):
    import cv2

    path = make_video(tmp_path / "v.mp4", 1)
    assert numbers(path, 25) == [0] and probe(path).duration_s == pytest.approx(0.04)
    cv2.imwrite(str(tmp_path / "s.png"), picture(5)[..., ::-1])
    info = probe(tmp_path / "s.png")
    assert numbers(tmp_path / "s.png", 25) == [5] and info.frame_count == 1 and not info.has_audio


def test_a_repeated_frame_is_a_copy(tmp_path):
    path = make_video(tmp_path / "v.mp4", 5, fps=5)
    for _, image in read_frames(path, 25):
        assert not (image == 77).all()
        image[:] = 77


def test_frames_that_change_size_are_scaled_to_the_first(tmp_path):
    a, b = make_video(tmp_path / "a.ts", 5), make_video(tmp_path / "b.ts", 5, size=(192, 128), video_start_s=0.2)
    (tmp_path / "c.ts").write_bytes(a.read_bytes() + b.read_bytes())
    assert {image.shape for _, image in read_frames(tmp_path / "c.ts", warn=lambda _: None)} == {(64, 96, 3)}
    other = make_video(tmp_path / "d.ts", 5, size=(128, 128), video_start_s=0.2)
    (tmp_path / "e.ts").write_bytes(a.read_bytes() + other.read_bytes())
    with pytest.raises(InputError, match="shape"):
        list(read_frames(tmp_path / "e.ts"))


@pytest.mark.parametrize("name", ["a b.mp4", "讲话.mp4", "it's \"q\".mp4", "; touch canary;.mp4", "-i.mp4", "c:d|e.mp4",
                                  "%03d.mp4", "é\n.mp4"])  # fmt: skip
def test_special_characters_in_names_are_read(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "v.mp4", 3).rename(tmp_path / name)
    assert numbers(Path(name), 25) == [0, 1, 2] and probe(name).frame_count == 3
    assert not (tmp_path / "canary").exists()


def test_other_files_are_rejected_in_one_line(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.txt").write_text("a video\n" * 100)
    (tmp_path / "text.mp4").write_text("a video\n" * 100)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(100_000))
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nv.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile v.ts\n")
    (tmp_path / "folder.mp4").mkdir()
    make_video(tmp_path / "v.ts", 3)
    make_video(tmp_path / "sound.mp4", 1, audio=chirp(1, 48000))
    whole = make_video(tmp_path / "whole.mp4", 25).read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[: len(whole) // 2])
    names = ["absent.mp4", "empty.mp4", "text.txt", "text.mp4", "noise.mp4", "list.m3u8", "list.ffconcat", "folder.mp4"]
    for name in [*names, "headless.mp4", "a\0b.mp4"]:
        for call in (probe, lambda path: list(read_frames(path))):
            with pytest.raises(InputError) as error:
                call(tmp_path / name)
            assert error.value.exit_code == 3 and "\n" not in str(error.value), name


def test_audio_files_are_rejected_as_video(tmp_path):
    import av

    path = make_video(tmp_path / "v.mp4", 2, audio=chirp(1, 48000))
    song = tmp_path / "song.m4a"
    with av.open(str(path)) as source, av.open(str(song), "w", format="ipod") as out:
        sound = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = sound
                out.mux(packet)
    for call in (probe, lambda one: list(read_frames(one))):
        with pytest.raises(InputError, match="no video"):
            call(song)


def test_a_truncated_file_warns(tmp_path):
    path = make_video(tmp_path / "v.mkv", 100, size=(192, 128), quality="4")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert 30 < len(numbers(path, 25, warn=lambda _: None)) < 90
    moved = make_video(tmp_path / "w.mov", 100, size=(192, 128), quality="4")
    from jean.media import VideoWriter

    with VideoWriter(tmp_path / "x.mp4", (192, 128), 25, crf=4) as writer:  # the index comes first here
        for _, image in read_frames(moved):
            writer.write(image)
    whole = (tmp_path / "x.mp4").read_bytes()
    (tmp_path / "x.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    messages: list[str] = []
    seen = numbers(tmp_path / "x.mp4", 25, warn=messages.append)
    assert 30 < len(seen) < 90 and any("states" in line or "damaged" in line for line in messages)


def test_damage_in_the_middle_warns_and_keeps_the_times(tmp_path):
    path = make_video(tmp_path / "v.mp4", 100, size=(192, 128), quality="4")
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat")
    length = int.from_bytes(data[at - 4 : at], "big")
    middle, size = at + length // 2, length // 10
    data[middle : middle + size] = np.random.default_rng(1).bytes(size)
    path.write_bytes(data)
    messages: list[str] = []
    seen = numbers(path, 25, warn=messages.append)
    assert len(seen) == 100 and seen[:30] == list(range(30)) and seen[-10:] == list(range(90, 100))
    assert messages and all("\n" not in line for line in messages)


def test_impossible_time_stamps_are_rejected_immediately(tmp_path):
    path = make_video(tmp_path / "v.mkv", 3, times_s=[0, 0.04, 100_000])
    with pytest.raises(InputError, match="jump"):
        list(read_frames(path, 25))


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="an independent reader: ffmpeg is not installed")
def test_ffmpeg_rotates_in_the_same_direction(tmp_path):
    path = make_video(tmp_path / "v.mp4", 1)
    for degrees, matrix in ROTATIONS.items():
        set_matrix(path, matrix)
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
        raw = np.frombuffer(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout, np.uint8)
        _, image = next(read_frames(path))
        assert np.abs(raw.reshape(image.shape).astype(int) - image).mean() < 3, degrees


def test_importing_loads_no_media_library():
    code = "import sys, jean.media, jean.provenance; print([m for m in ('av', 'cv2', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.real
def test_real_clips(shared_data):
    info = probe(shared_data / "data" / "hill.mp4")
    assert (info.width_px, info.height_px, info.fps, info.frame_count, info.duration_s) == (512, 512, 25, 200, 8)
    assert info.audio_rate_hz == 16000 and info.audio_duration_s == pytest.approx(8, abs=1e-3)
    assert len(list(read_frames(shared_data / "data" / "hill.mp4", 25, 6.0))) == 50
    for name in ("bbaf2n", "lwbsza", "swiz3n"):
        path = shared_data / "data" / f"grid_{name}.mpg"
        assert probe(path).frame_count == 75 and sum(1 for _ in read_frames(path, 25)) == 75
    assert probe(shared_data / "data" / "happy_silent.mp4").audio_rate_hz is None


@pytest.mark.parametrize(("exhausted", "error"), [(True, SetupError), (False, InputError)])
def test_a_failed_allocation_is_the_files_fault_only_where_memory_is_left(tmp_path, monkeypatch, exhausted, error):
    import av

    from jean.media import container

    def fail(*args, **options):
        raise av.error.MemoryError(12, "Cannot allocate memory")

    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setattr(av, "open", fail)
    monkeypatch.setattr(container, "is_exhausted", lambda: exhausted)
    with pytest.raises(error) as raised:
        list(read_frames(tmp_path / "a.mp4"))
    assert raised.value.__cause__ is None, "the command line would call it a lack of memory"
