"""Creates small media files: frames encode their number, sounds contain a chirp."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np

BITS = 12
ROTATIONS = {  # clockwise turn: (a, b, c, d) of the MP4 matrix
    0: (1, 0, 0, 1),
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}


def picture(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """An image, uint8 [H, W, 3], with ``number`` as a row of black and white blocks above a red and a blue half."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (200, 40, 40)
    image[:, width // 2 :] = (40, 40, 200)
    edges = np.linspace(0, width, BITS + 1).astype(int)
    for bit in range(BITS):
        image[: height // 2, edges[bit] : edges[bit + 1]] = 255 * (number >> bit & 1)
    return image


def number_of(image: np.ndarray) -> int:
    """The number that ``picture`` encoded in an image."""
    row = image[image.shape[0] // 8 : image.shape[0] // 4].mean(axis=(0, 2))
    centres = ((np.arange(BITS) + 0.5) * len(row) / BITS).astype(int)
    return int(sum(1 << bit for bit in range(BITS) if row[centres[bit]] > 127))


def chirp(duration_s: float, rate_hz: int, channels: int = 1) -> np.ndarray:
    """A sweep of varying loudness, float32 [S, C], with one correlation peak; channels differ in level."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    sweep = np.sin(2 * np.pi * (200 * t + 250 * t**2)) * (0.4 + 0.2 * np.sin(2 * np.pi * 1.7 * t))
    return np.stack([sweep * 0.7**channel for channel in range(channels)], axis=1).astype(np.float32)


def lag_samples(a: np.ndarray, b: np.ndarray, reach: int = 3000) -> int:
    """Delay of ``b`` behind ``a`` in samples."""
    length = min(len(a), len(b))
    size = 1 << (2 * length - 1).bit_length()
    cross = np.fft.irfft(np.conj(np.fft.rfft(a[:length], size)) * np.fft.rfft(b[:length], size), size)
    around = np.concatenate((cross[-reach:], cross[: reach + 1]))
    return int(around.argmax()) - reach


def make_video(
    path: Path,
    count: int = 25,
    fps: Fraction | float = 25,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times_s: list[float] | None = None,
    aspect: Fraction | None = None,
    audio: np.ndarray | None = None,
    audio_hz: int = 48000,
    audio_codec: str = "aac",
    audio_start_s: float = 0.0,
    video_start_s: float = 0.0,
    quality: str = "12",
) -> Path:
    """Writes a video with ``count`` numbered frames at ``fps`` (or at ``times_s``), and sound."""
    import av

    rate = Fraction(fps).limit_denominator(1001)
    clock = Fraction(1, 90000)
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=rate)
        video.width, video.height = size
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = clock if not codec.startswith("mpeg") else 1 / rate
        clock = video.codec_context.time_base
        if codec == "libx264":
            video.options = {"crf": quality, "preset": "veryfast", "g": "12"}
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        sound = None
        if audio is not None:
            sound = out.add_stream(audio_codec, rate=audio_hz)
            sound.layout = {1: "mono", 2: "stereo"}[audio.shape[1]]
        for number in range(count):
            time_s = float(number / rate) if times_s is None else times_s[number]
            frame = av.VideoFrame.from_ndarray(picture(number, *size), "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round((time_s + video_start_s) / clock), clock
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None and audio is not None:
            kind = "fltp" if audio_codec == "aac" else "s16"
            for start in range(0, len(audio), 1024):
                block = audio[start : start + 1024]
                if kind == "s16":
                    data = np.ascontiguousarray((block * 32767).astype(np.int16).reshape(1, -1))
                else:
                    data = np.ascontiguousarray(block.T)
                piece = av.AudioFrame.from_ndarray(data, kind, sound.layout.name)
                piece.sample_rate, piece.time_base = audio_hz, Fraction(1, audio_hz)
                piece.pts = start + round(audio_start_s * audio_hz)
                out.mux(sound.encode(piece))
            out.mux(sound.encode(None))
    return path


def set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Writes (a, b, c, d) into the display matrix of the first track of an mp4, byte by byte."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def write_float_wav(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    """Writes a wav file of 32-bit floats [S, C]; values are not checked."""
    data = np.ascontiguousarray(samples, "<f4").tobytes()
    channels = samples.shape[1]
    head = struct.pack("<HHIIHH", 3, channels, rate_hz, rate_hz * channels * 4, channels * 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path
