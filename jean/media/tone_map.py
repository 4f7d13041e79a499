"""Converts HDR and wide-gamut frames to BT.709, by FFmpeg's colour management.

Diffuse white (203 cd/m², ITU-R BT.2408) becomes white, and brighter highlights are clipped. Greys and skin then have
the values of a recording without HDR; FFmpeg's gamut mapping changes saturated colours a little. The perceptual intent
is not used: for files without mastering metadata, it keeps room for 10,000 cd/m², which leaves white at 60 %.
"""

from __future__ import annotations

from typing import Any

from jean.errors import SetupError

# AVColorTransferCharacteristic: PQ (SMPTE 2084) and HLG (ARIB STD-B67). AVColorPrimaries: BT.2020, DCI-P3, Display P3
PQ, HLG = 16, 18
WIDE_PRIMARIES = (9, 11, 12)
BT2020_MATRIX = 9
UNKNOWN = 2


def needs_tone_map(frame: Any) -> bool:
    """Whether an ``av.VideoFrame`` has a transfer function or primaries that BT.709 displays do not have."""
    return frame.color_trc in (PQ, HLG) or frame.color_primaries in WIDE_PRIMARIES


class ToneMap:
    """Converts the frames of one stream to RGB in BT.709.

    Args:
        width: of the result, px.
        height: of the result, px.
    """

    def __init__(self, width: int, height: int):
        self._size = width, height
        self._graph: Any = None
        self._format: tuple[int, int, str] | None = None

    def __call__(self, frame: Any) -> Any:
        """Converts an ``av.VideoFrame`` to one of the format rgb24.

        Raises:
            SetupError: the installed PyAV has no colour management.
        """
        import av

        if frame.colorspace == UNKNOWN:
            frame.colorspace = BT2020_MATRIX
        if self._format != (frame.width, frame.height, frame.format.name):
            self._format = frame.width, frame.height, frame.format.name
            try:
                self._graph = _graph(frame, *self._size)
            except (av.error.FFmpegError, ValueError) as error:
                raise SetupError("HDR video needs a newer PyAV.", "Run: pip install --upgrade av") from error
        self._graph.push(frame)
        return self._graph.pull()


def _graph(frame: Any, width: int, height: int) -> Any:
    """The filter graph for frames like this one."""
    import av

    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/25:"
        f"colorspace={frame.colorspace}:range={frame.color_range}",
    )
    target = "out_transfer=bt709:out_primaries=bt709:out_range=pc:intent=relative_colorimetric"
    scale = graph.add("scale", f"w={width}:h={height}:flags=bicubic+accurate_rnd+full_chroma_inp:{target}")
    rgb, sink = graph.add("format", "pix_fmts=rgb24"), graph.add("buffersink")
    for first, second in ((source, scale), (scale, rgb), (rgb, sink)):
        first.link_to(second)
    graph.configure()
    return graph
