"""Reads and writes plain PCM ``.wav`` files with the standard library alone."""

from __future__ import annotations

import wave as stdlib_wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jean.errors import InputError
from jean.files import atomic_path
from jean.media.container import check_file

BLOCK = 1 << 18  # samples per block


def to_float(samples: np.ndarray) -> np.ndarray:
    """Converts integer samples of any width to float32 in [-1, 1); floating-point samples keep their scale.

    uint8 samples are centred at 128, as in wav files.
    """
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    return samples.astype(np.float32) / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))


def read_wav(path: str | Path) -> tuple[np.ndarray, int]:
    """Reads a PCM wav file of 8, 16, 24 or 32 bits.

    Returns:
        float32 [S, C] in [-1, 1), and the sampling rate in Hz.

    Raises:
        InputError: not such a file, or it has no samples.
    """
    blocks = list(wav_blocks(path))
    rate_hz = blocks[0][1]
    return np.concatenate([samples for samples, _ in blocks]), rate_hz


def wav_blocks(path: str | Path) -> Iterator[tuple[np.ndarray, int]]:
    """Yields the blocks of a PCM wav file, (float32 [n, C], sampling rate in Hz); see ``read_wav``."""
    path = check_file(path)
    try:
        with stdlib_wave.open(str(path), "rb") as reader:
            channels, width, rate_hz = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
            if not rate_hz or width not in (1, 2, 3, 4):
                raise InputError(
                    f"{path} has samples of {8 * width} bits at {rate_hz} Hz, which cannot be read.",
                    "Convert it first.",
                )
            empty = True
            while data := reader.readframes(BLOCK):
                data = data[: len(data) // (channels * width) * channels * width]  # drop an incomplete last sample
                if data:
                    empty = False
                    yield to_float(_integers(data, width).reshape(-1, channels)), rate_hz
    except (stdlib_wave.Error, EOFError) as error:
        raise InputError(
            f"{path} is not a plain PCM wav file ({error or 'cut short'}).", "Convert it first."
        ) from error
    if empty:
        raise InputError(f"{path} has no audio.", "Record or export it again.")


def _integers(data: bytes, width: int) -> np.ndarray:
    if width == 3:  # store them as the upper bytes of 32 bits
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0]
    return np.frombuffer(data, {1: "u1", 2: "<i2", 4: "<i4"}[width])


def write_wav(path: str | Path, wave: np.ndarray, rate_hz: int) -> None:
    """Writes a 16-bit PCM wav file, atomically.

    Args:
        path: the file.
        wave: float [S] or [S, C]; values outside [-1, 1] are clipped.
        rate_hz: sampling rate.

    Raises:
        InputError: a sample is NaN or infinite.
        SetupError: the file cannot be written.
    """
    samples = np.asarray(wave)
    samples = samples[:, None] if samples.ndim == 1 else samples
    if samples.size and not np.isfinite([samples.min(), samples.max()]).all():  # which are NaN if a sample is
        raise InputError(f"the audio for {path} has samples that are not numbers.", "Check where it comes from.")
    with atomic_path(Path(path)) as temporary:
        with stdlib_wave.open(str(temporary), "wb") as writer:
            writer.setnchannels(samples.shape[1])
            writer.setsampwidth(2)
            writer.setframerate(rate_hz)
            for start in range(0, len(samples), BLOCK):
                # The inverse of to_float, so that reading and writing a file again changes nothing
                scaled = np.clip(np.rint(samples[start : start + BLOCK] * 32768.0), -32768, 32767)
                writer.writeframesraw(scaled.astype("<i2").tobytes())
