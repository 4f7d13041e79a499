"""Sound: alignment, rates, channels, bad files, wav."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jean import row_file
from jean.errors import InputError, SetupError
from jean.media import probe, read_audio, read_audio_native, read_wav, wav, write_wav
from jean.media.resample import resample, resample_blocks
from tests.helpers.media_make import chirp, lag_samples, make_video, write_float_wav


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    length = min(len(a), len(b))
    return float(np.corrcoef(a[:length], b[:length])[0, 1])


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_any_rate_becomes_16_khz_without_delay(tmp_path, rate_hz):
    write_wav(tmp_path / "a.wav", chirp(2.003, rate_hz), rate_hz)
    decoded = read_audio(tmp_path / "a.wav")
    assert decoded.dtype == np.float32 and decoded.ndim == 1
    assert abs(len(decoded) - 2.003 * 16000) <= 1.5
    expected = chirp(2.003, 16000)[:, 0]
    middle = slice(800, 30500)
    assert np.abs(decoded[middle] - expected[middle]).max() < 2e-3


def test_resampling_removes_frequencies_above_nyquist():
    t = np.arange(48000) / 48000
    high = resample(np.sin(2 * np.pi * 9000 * t).astype(np.float32), 48000, 16000)
    low = resample(np.sin(2 * np.pi * 7000 * t).astype(np.float32), 48000, 16000)
    assert np.abs(high[200:-200]).max() < 1e-3
    assert np.abs(low[200:-200]).max() == pytest.approx(1, abs=2e-2)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=4), st.sampled_from([8000, 44100, 48000]))
def test_resampling_in_blocks_equals_resampling_at_once(sizes, rate_hz):
    whole = np.random.default_rng(0).standard_normal(sum(sizes)).astype(np.float32)
    blocks = np.split(whole, np.cumsum(sizes)[:-1])
    joined = list(resample_blocks(blocks, rate_hz, 16000))
    joined = np.concatenate(joined) if joined else np.zeros(0, np.float32)
    expected = resample(whole, rate_hz, 16000)
    assert len(joined) == len(expected) and np.allclose(joined, expected, atol=1e-5)


def test_read_audio_averages_channels_and_read_audio_native_keeps_them(tmp_path):
    left, right = chirp(1, 16000)[:, 0], np.full(16000, 0.25, np.float32)
    write_wav(tmp_path / "a.wav", np.stack([left, right], axis=1), 16000)
    assert np.allclose(read_audio(tmp_path / "a.wav"), (left + right) / 2, atol=1e-4)
    both, rate_hz = read_audio_native(tmp_path / "a.wav")
    assert rate_hz == 16000 and np.allclose(both, np.stack([left, right], axis=1), atol=1e-4)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.mov", "v.ts"])
@pytest.mark.parametrize("rate_hz, channels", [(48000, 2), (16000, 1), (44100, 1)])
def test_audio_of_a_video_is_aligned(tmp_path, name, rate_hz, channels):
    sound = chirp(1.6, rate_hz, channels)
    path = make_video(tmp_path / name, 40, audio=sound, audio_hz=rate_hz)
    decoded, native_hz = read_audio_native(path)
    assert native_hz == rate_hz and decoded.shape[1] == channels
    lag = lag_samples(sound[:, 0], decoded[:, 0])
    assert abs(lag) <= rate_hz / 1000  # containers keep start times to a millisecond
    assert correlation(sound[max(0, -lag) :, 0], decoded[max(0, lag) :, 0]) > 0.99
    if name in ("v.mp4", "v.mov"):
        assert len(decoded) == len(sound)
        assert probe(path).audio_duration_s == pytest.approx(1.6, abs=1e-3)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
@pytest.mark.parametrize("sound_s, video_s", [(0.5, 0.0), (0.0, 0.4), (2.0, 2.0)])
def test_offsets_between_streams_are_kept(tmp_path, name, sound_s, video_s):
    sound = chirp(2, 48000)
    path = make_video(tmp_path / name, 40, audio=sound, audio_start_s=sound_s, video_start_s=video_s)
    decoded, _ = read_audio_native(path)
    offset = round((sound_s - video_s) * 48000)
    if offset > 0:
        assert np.abs(decoded[: offset - 2048]).max() < 0.01
        decoded = decoded[offset:]
    sound = sound[max(0, -offset) :]
    lag = lag_samples(sound[:, 0], decoded[:, 0])
    assert abs(lag) <= 48  # containers keep start times to a millisecond
    assert correlation(sound[max(0, -lag) :, 0], decoded[max(0, lag) :, 0]) > 0.98


def test_a_gap_in_the_audio_becomes_silence(tmp_path):
    import av

    sound = chirp(2, 48000)
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=48000)
        stream.layout = "mono"
        for start in range(0, 96000, 960):
            if not 24000 <= start < 60480:  # as after lost packets
                block = np.ascontiguousarray((sound[start : start + 960].T * 32767).astype(np.int16))
                frame = av.AudioFrame.from_ndarray(block, "s16", "mono")
                frame.sample_rate, frame.pts = 48000, start
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    decoded = read_audio_native(tmp_path / "a.mkv")[0]
    expected = sound.copy()
    expected[24000:60480] = 0
    assert len(decoded) == 96000 and np.abs(decoded - expected).max() < 1e-3


@pytest.mark.parametrize("share", [0.5, 1.5, 0.96, 1.04])
def test_audio_may_be_shorter_or_longer_than_the_video(tmp_path, share):
    sound = chirp(2 * share, 48000)
    path = make_video(tmp_path / "v.mp4", 50, audio=sound)
    assert len(read_audio(path)) == round(2 * share * 16000)
    info = probe(path)
    assert info.duration_s == pytest.approx(2) and info.audio_duration_s == pytest.approx(2 * share, abs=1e-3)


@pytest.mark.parametrize(
    "name, codec", [("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.flac", "flac"), ("a.ogg", "opus")]
)
def test_audio_files_of_all_formats_are_read(tmp_path, name, codec):
    import av

    sound = chirp(2, 48000, 2)
    with av.open(str(tmp_path / name), "w") as out:
        stream = out.add_stream(codec, rate=48000)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, 0
        resampler = av.AudioResampler(
            stream.codec_context.format, "stereo", 48000, stream.codec_context.frame_size or None
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    decoded, rate_hz = read_audio_native(tmp_path / name)
    assert rate_hz == 48000 and decoded.shape[1] == 2
    assert abs(lag_samples(sound[:, 0], decoded[:, 0])) <= 48
    assert correlation(sound[:, 0], decoded[:, 0]) > 0.98
    assert abs(len(decoded) - len(sound)) <= (1152 if name == "a.mp3" else 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_samples_are_rejected(tmp_path, bad):
    sound = chirp(1, 16000)
    sound[9000] = bad
    path = write_float_wav(tmp_path / "a.wav", sound, 16000)
    for call in (read_audio, read_audio_native):
        with pytest.raises(InputError, match="not numbers"):
            call(path)


def test_clipped_audio_is_accepted_and_overscaled_audio_warns(tmp_path):
    loud = np.clip(4 * chirp(1, 48000), -1, 1)
    write_wav(tmp_path / "clipped.wav", loud, 48000)
    decoded = read_audio(tmp_path / "clipped.wav")
    assert np.isfinite(decoded).all() and np.abs(decoded).max() <= 1
    said: list[str] = []
    wild = read_audio(write_float_wav(tmp_path / "wild.wav", 1000 * chirp(1, 16000), 16000), warn=said.append)
    assert np.abs(wild).max() <= 1 and "outside" in said[0]


def test_files_without_audio_are_rejected_in_one_line(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    with wave.open(str(tmp_path / "zero.wav"), "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
    (tmp_path / "text.wav").write_text("RIFF, but not really")
    make_video(tmp_path / "silent.mp4", 3)
    for name in ("empty.wav", "zero.wav", "text.wav", "silent.mp4", "absent.wav"):
        for call in (read_audio, read_audio_native):
            with pytest.raises(InputError) as error:
                call(tmp_path / name)
            assert "\n" not in str(error.value)


def test_a_long_sound_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(row_file, "IN_MEMORY", 1000)
    monkeypatch.setattr(wav, "BLOCK", 1 << 14)
    sound = chirp(30, 16000)[:, 0]
    write_wav(tmp_path / "a.wav", sound, 16000)
    for reader in (read_audio, lambda path: read_audio_native(path)[0][:, 0]):
        reader(tmp_path / "a.wav")  # imports
        tracemalloc.start()
        read = reader(tmp_path / "a.wav")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_allclose(read, sound, atol=1e-4)
        assert peak < 0.5 * read.nbytes


def test_one_sample_is_valid_audio(tmp_path):
    write_wav(tmp_path / "a.wav", np.array([0.5], np.float32), 16000)
    assert read_audio(tmp_path / "a.wav").tolist() == [0.5]


def test_wav_round_trip_is_exact(tmp_path):
    integers = np.random.default_rng(0).integers(-32768, 32768, (1000, 2))
    write_wav(tmp_path / "a.wav", integers / 32768, 44100)
    samples, rate_hz = read_wav(tmp_path / "a.wav")
    assert rate_hz == 44100 and samples.dtype == np.float32 and np.array_equal(samples * 32768, integers)
    assert np.array_equal(read_audio_native(tmp_path / "a.wav")[0], samples)
    with pytest.raises(InputError, match="not numbers"):
        write_wav(tmp_path / "b.wav", np.array([np.nan]), 16000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav"]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_reader_agrees_with_pyav_for_every_sample_width(tmp_path, width):
    data = np.random.default_rng(width).bytes(600 * width)
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setparams((2, width, 8000, 0, "NONE", ""))
        out.writeframes(data)
    ours, _ = read_wav(tmp_path / "a.wav")
    assert ours.shape == (300, 2) and np.array_equal(ours, read_audio_native(tmp_path / "a.wav")[0])


WITHOUT_AV = """
import sys
sys.modules["av"] = None
from pathlib import Path
from jean.errors import SetupError
from jean.media import *
folder = Path(sys.argv[1])
wave = read_audio(folder / "a.wav")
print(len(wave), round(float(abs(wave).max()), 2))
video = folder / "v.mp4"
for call in (lambda: probe(video), lambda: read_audio(video), lambda: next(read_frames(video))):
    try:
        call()
    except SetupError as error:
        print(error)
"""


def test_without_pyav_wav_works_and_other_formats_name_the_package(tmp_path):
    write_wav(tmp_path / "a.wav", chirp(1, 48000, 2), 48000)
    make_video(tmp_path / "v.mp4", 2)
    done = subprocess.run([sys.executable, "-c", WITHOUT_AV, str(tmp_path)], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert not done.stderr and lines[0].startswith("16000 0.5"), done.stderr
    assert len(lines) == 4 and all("pip install av" in line for line in lines[1:])


def test_setup_error_has_its_exit_code():
    assert SetupError("x").exit_code == 5


@pytest.mark.real
def test_real_audio_files(shared_data: Path):
    assert len(read_audio(shared_data / "data" / "radio31.wav")) == 128000
    assert len(read_audio(shared_data / "data" / "hill.mp4")) == 128000
    with pytest.raises(InputError, match="no audio"):
        read_audio(shared_data / "data" / "happy_silent.mp4")
