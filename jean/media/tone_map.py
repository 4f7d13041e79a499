"""Converts HDR and wide-gamut frames to BT.709.

FFmpeg's colour management converts the transfer function (PQ, HLG): diffuse white (203 cd/m², ITU-R BT.2408) becomes
white, and brighter highlights are clipped. Its perceptual intent is not used: for files without mastering metadata, it
keeps room for 10,000 cd/m², which leaves white at 60 %. The primaries are converted here, by the matrix of linear light
that ITU-R BT.2087 states, because FFmpeg's gamut mapping also changes colours that BT.709 can show.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jean.errors import SetupError

# AVColorTransferCharacteristic
PQ, HLG = 16, 18
# AVColorPrimaries → FFmpeg's name, and chromaticities (x, y) of red, green and blue; the white point is D65
BT2020, DISPLAY_P3 = 9, 12
WIDE = {
    BT2020: ("bt2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
    DISPLAY_P3: ("smpte432", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
}
BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
D65 = (0.3127, 0.3290)
BT2020_MATRIX, UNKNOWN = 9, 2
GAMMA = 2.4  # of a display, ITU-R BT.1886


def needs_tone_map(frame: Any) -> bool:
    """Whether an ``av.VideoFrame`` has a transfer function or primaries that BT.709 displays do not have."""
    return frame.color_trc in (PQ, HLG) or frame.color_primaries in WIDE


class ToneMap:
    """Converts the frames of one stream to RGB in BT.709.

    Args:
        width: of the result, px.
        height: of the result, px.
    """

    def __init__(self, width: int, height: int):
        self._size = width, height
        self._graph: Any = None
        self._format: tuple[Any, ...] | None = None
        self._light = (np.arange(65536, dtype=np.float32) / 65535) ** GAMMA
        self._matrix = np.eye(3)

    def __call__(self, frame: Any) -> np.ndarray:
        """Converts an ``av.VideoFrame`` to uint8 [H, W, 3].

        Raises:
            SetupError: the installed PyAV has no colour management.
        """
        import av
        import cv2

        if frame.colorspace == UNKNOWN:
            frame.colorspace = BT2020_MATRIX
        # HDR without stated primaries is BT.2020
        primaries = BT2020 if frame.color_primaries == UNKNOWN else int(frame.color_primaries)
        form = (frame.width, frame.height, frame.format.name, primaries)
        if self._format != form:
            name, corners = WIDE.get(primaries, ("bt709", BT709))
            self._matrix = np.linalg.inv(_rgb_to_xyz(BT709)) @ _rgb_to_xyz(corners)
            try:
                self._graph, self._format = _graph(frame, *self._size, name), form
            except (av.error.FFmpegError, ValueError) as error:
                raise SetupError("HDR video needs a newer PyAV.", "Run: pip install --upgrade av") from error
        self._graph.push(frame)
        plane = self._graph.pull().planes[0]
        width, height = self._size
        rows = np.frombuffer(memoryview(plane), "<u2").reshape(height, plane.line_size // 2)
        light = self._light[rows[:, : width * 3].reshape(height, width, 3)]
        light = np.clip(cv2.transform(light, self._matrix), 0, 1)
        return (cv2.pow(light, 1 / GAMMA) * 255 + 0.5).astype(np.uint8)


def _rgb_to_xyz(corners: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Matrix [3, 3] from linear RGB with these chromaticities to XYZ, with white at D65."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in corners]).T
    white = np.array([D65[0] / D65[1], 1, (1 - D65[0] - D65[1]) / D65[1]])
    return columns * np.linalg.solve(columns, white)


def _graph(frame: Any, width: int, height: int, primaries: str) -> Any:
    """The filter graph that converts frames like this one to a display of gamma 2.4 with the same primaries."""
    import av

    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/25:"
        f"colorspace={frame.colorspace}:range={frame.color_range}",
    )
    colours = f"in_primaries={primaries}:out_primaries={primaries}:out_transfer=bt709:out_range=pc"
    options = f"flags=bicubic+accurate_rnd+full_chroma_inp:intent=relative_colorimetric:{colours}"
    scale = graph.add("scale", f"w={width}:h={height}:{options}")
    rgb, sink = graph.add("format", "pix_fmts=rgb48le"), graph.add("buffersink")
    for first, second in ((source, scale), (scale, rgb), (rgb, sink)):
        first.link_to(second)
    graph.configure()
    return graph
