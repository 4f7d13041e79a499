"""Writes an animated GIF, with a palette of 256 colours for each frame."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from jean.media.container import encoder_errors
from jean.media.encoded_file import EncodedFile
from jean.media.image import check_rgb

TICKS_PER_S = 100  # the clock of a GIF
LARGEST_FPS = 50  # viewers slow down GIFs with shorter frames


class GifWriter(EncodedFile):
    """Writes a GIF that repeats for ever; a ``Writer``.

    A GIF has neither sound nor tags. Its frames last whole hundredths of a second: each is written at its nearest
    hundredth, so that the mean rate is right.

    Args:
        path: the file.
        size: (width, height) of the frames, px.
        fps: frames per second, at most 50.
        has_audio: whether there is sound, which ``note`` then says is left out.
        before_rename: called with the complete temporary file, see ``jean.files.atomic_path``.

    Raises:
        SetupError: PyAV is not installed, or the file cannot be written.
        InputError: no frame was written.
        UsageError: the rate is impossible.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: float | Fraction,
        has_audio: bool = False,
        before_rename: Callable[[Path], None] = lambda temporary: None,
    ):
        super().__init__(path, size, fps, before_rename)
        if has_audio:
            self.note = f"{self.path.name} has no sound: a GIF cannot hold it."
        self._step = -(-self._rate.numerator // (self._rate.denominator * LARGEST_FPS))  # one of so many is written

    def _container_options(self) -> dict[str, Any]:
        return {"format": "gif"}

    def _add_streams(self) -> None:
        self._video = self._container.add_stream("gif", rate=min(self._rate, Fraction(TICKS_PER_S)))
        self._video.width, self._video.height = self._size
        self._video.pix_fmt = "pal8"
        self._video.codec_context.time_base = Fraction(1, TICKS_PER_S)
        self._graph = _palette_graph(*self._size)

    def write(self, rgb: np.ndarray) -> None:
        """Appends a frame, uint8 [H, W, 3].

        Raises:
            ValueError: another shape or type.
            SetupError: the frame cannot be written.
        """
        import av

        check_rgb(rgb, self._size)
        number, self._frames = self._frames, self._frames + 1
        if number % self._step:
            return
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        self._graph.push(frame)
        coloured = self._graph.pull()
        coloured.pts, coloured.time_base = round(number * TICKS_PER_S / self._rate), Fraction(1, TICKS_PER_S)
        with encoder_errors(self.path):
            self._container.mux(self._video.encode(coloured))


def _palette_graph(width: int, height: int) -> Any:
    """FFmpeg's filters that choose 256 colours for each frame and dither with them."""
    import av

    graph = av.filter.Graph()
    source = graph.add("buffer", f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/25")
    split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=single")
    use, sink = graph.add("paletteuse", "new=1:dither=sierra2_4a"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
