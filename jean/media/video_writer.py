"""Writes a video with audio, frame by frame: H.264 and AAC, or VP9 and Opus."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import InputError, UsageError
from jean.media.container import encoder_errors
from jean.media.encoded_file import EncodedFile
from jean.media.frame import BICUBIC, BT709, EXACT, FULL, LIMITED
from jean.media.image import check_rgb
from jean.media.resample import resample


@dataclass(frozen=True)
class Codecs:
    """The codecs of one container.

    Attributes:
        video: name of FFmpeg's video encoder.
        audio: name of its audio encoder.
        rates_hz: sampling rates of the audio encoder; other audio becomes 48 kHz.
        samples: samples in a frame of audio.
        sample_format: of the audio encoder, planar (``fltp``) or interleaved (``flt``).
        side_limit_px: largest width and height.
    """

    video: str
    audio: str
    rates_hz: tuple[int, ...]
    samples: int
    sample_format: str
    side_limit_px: int = 16384

    def video_options(self, crf: int) -> dict[str, str]:
        """Options of the video encoder for a quality of 0 (best) to 51."""
        if self.video == "libx264":
            # chromaloc=1: the conversion centres chroma between its four pixels; untagged means the left edge.
            # preset fast: four fifths of the time of "medium", at the same quality and 2 % more bytes
            return {"crf": str(crf), "preset": "fast", "x264-params": "chromaloc=1"}
        # VP9 counts to 63. cpu-used 4: a fifth of the time of the default
        return {"crf": str(round(crf * 63 / 51)), "b": "0", "row-mt": "1", "cpu-used": "4"}


AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
H264_AAC = Codecs("libx264", "aac", AAC_RATES_HZ, 1024, "fltp")
VP9_OPUS = Codecs("libvpx-vp9", "libopus", (48000,), 960, "flt")
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


class VideoWriter(EncodedFile):
    """Writes H.264 video and AAC audio, or VP9 and Opus into a ``.webm``; a ``Writer``.

    Frames are encoded immediately, into a temporary file, which gets its name only after the ``with`` block
    ends without an exception; otherwise it is removed. Colours are BT.709 with limited range, and tagged so.
    All of the audio is written, independent of the number of frames. Its sampling rate is kept if the codec
    supports it; otherwise it becomes 48 kHz. Chroma subsampling (4:2:0) needs even sizes: an odd width or
    height is extended by a copy of its last column or row, and ``note`` tells the user.

    Args:
        path: the file, normally ``.mp4``.
        size: (width, height) of the frames, px.
        fps: frames per second, a number or an exact fraction; see ``rational_fps``.
        audio: (float [S] or [S, C] in [-1, 1], sampling rate in Hz), or None.
        crf: quality, 0 (best) to 51 as for x264; 18 is visually lossless.
        metadata: tags; mp4 keeps title, artist, comment, description, copyright and date.
        before_rename: called with the complete temporary file, see ``jean.files.atomic_path``.

    Raises:
        SetupError: PyAV is not installed, or the file cannot be written.
        InputError: the audio cannot be encoded, or no frame was written.
        UsageError: the size is impossible.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: float | Fraction,
        audio: tuple[np.ndarray, int] | None = None,
        crf: int = 18,
        metadata: dict[str, str] | None = None,
        before_rename: Callable[[Path], None] = lambda temporary: None,
    ):
        super().__init__(path, size, fps, before_rename)
        self._crf = crf
        self._metadata = metadata or {}
        self._codecs = VP9_OPUS if self.path.suffix.lower() == ".webm" else H264_AAC
        self._sound = _prepared_audio(audio, self.path, self._codecs.rates_hz)
        self._samples = 0
        width, height = size
        if width < 2 or height < 2 or max(size) > self._codecs.side_limit_px:
            raise UsageError(f"a video of {width}×{height} pixels is not possible.", "Choose another size.")
        self._coded = (width + width % 2, height + height % 2)
        if self._coded != size:
            self.note = (
                f"Video needs even sizes: {self.path.name} has {self._coded[0]}×{self._coded[1]} pixels instead of "
                f"{width}×{height}."
            )

    def _container_options(self) -> dict[str, Any]:
        options = {} if self.path.suffix.lower() in (".mkv", ".webm") else {"movflags": "+faststart"}
        if self._sound is not None and options:  # otherwise durations are rounded to milliseconds
            options["movie_timescale"] = str(self._sound[1])
        return {"container_options": options}

    def _add_streams(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # reuses its tables for all frames
        self._container.metadata.update(self._metadata)
        self._video = self._container.add_stream(self._codecs.video, rate=self._rate)
        self._video.width, self._video.height = self._coded
        self._video.pix_fmt = "yuv420p"
        self._video.options = self._codecs.video_options(self._crf)
        context = self._video.codec_context
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED
        self._audio: Any = None
        if self._sound is not None:
            wave, rate_hz = self._sound
            self._audio = self._container.add_stream(self._codecs.audio, rate=rate_hz)
            self._audio.layout = LAYOUTS[wave.shape[1]]
            # 96 kbit/s per channel is transparent with both codecs; AAC allows at most 6 bits per sample
            self._audio.bit_rate = wave.shape[1] * min(96_000, 4 * rate_hz)

    def write(self, rgb: np.ndarray) -> None:
        """Appends a frame, uint8 [H, W, 3].

        Raises:
            ValueError: another shape or type.
            SetupError: the frame cannot be written.
        """
        import av

        check_rgb(rgb, self._size)
        padding = (self._coded[1] - rgb.shape[0], self._coded[0] - rgb.shape[1])
        if any(padding):
            rgb = np.pad(rgb, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24"),
            format="yuv420p",
            src_colorspace=BT709,
            dst_colorspace=BT709,
            src_color_range=FULL,
            dst_color_range=LIMITED,
            interpolation=EXACT | BICUBIC,
        )
        frame.pts, frame.time_base = self._frames, 1 / self._rate
        with encoder_errors(self.path):
            self._container.mux(self._video.encode(frame))
            self._frames += 1
            self._write_sound(float(self._frames / self._rate))

    def _write_sound(self, until_s: float) -> None:
        """Encodes the audio up to ``until_s``, so that both streams are interleaved in the file."""
        import av

        if self._sound is None:
            return
        wave, rate_hz = self._sound
        while self._samples < min(len(wave), until_s * rate_hz):
            block = np.clip(wave[self._samples : self._samples + self._codecs.samples], -1.0, 1.0)
            planar = self._codecs.sample_format == "fltp"
            data = np.ascontiguousarray(block.T) if planar else np.ascontiguousarray(block).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(data, self._codecs.sample_format, LAYOUTS[wave.shape[1]])
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, self._samples, Fraction(1, rate_hz)
            self._container.mux(self._audio.encode(frame))
            self._samples += len(block)

    def _flush(self) -> None:
        super()._flush()
        self._write_sound(math.inf)
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))


def _prepared_audio(
    audio: tuple[np.ndarray, int] | None, path: Path, rates_hz: tuple[int, ...]
) -> tuple[np.ndarray, int] | None:
    """Audio as float32 [S, C] at one of the sampling rates, or at 48 kHz; None if there is no audio."""
    if audio is None or not len(audio[0]):
        return None
    wave, rate_hz = np.asarray(audio[0], np.float32), int(audio[1])
    wave = wave[:, None] if wave.ndim == 1 else wave
    if wave.shape[1] not in LAYOUTS:
        raise InputError(
            f"{path.name} cannot store audio with {wave.shape[1]} channels.", "Mix the audio down to stereo."
        )
    if not np.isfinite([wave.min(), wave.max()]).all():  # which are NaN if a sample is
        raise InputError(f"the audio for {path} has samples that are not numbers.", "Check the audio file.")
    if rate_hz not in rates_hz:
        wave, rate_hz = resample(wave, rate_hz, 48000), 48000
    return wave, rate_hz
