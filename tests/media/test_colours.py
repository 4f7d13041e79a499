"""Colours of a chart: matrices and ranges of SDR video, and HDR and wide-gamut video converted to BT.709.

The chart is written as YUV by the formulae of ITU-R BT.601, BT.709, BT.2020 and BT.2100, not by FFmpeg.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from jean.media import read_frames

CHART = np.array(
    [
        *((255, 255, 255), (200, 200, 200), (128, 128, 128), (52, 52, 52), (0, 0, 0)),  # greys
        *((220, 170, 140), (194, 150, 130), (115, 82, 68), (90, 60, 40)),  # skin
        # further colours of a chart for photographers
        *((98, 122, 157), (87, 108, 67), (133, 128, 177), (103, 189, 170), (214, 126, 44), (80, 91, 166)),
        *((193, 90, 99), (94, 60, 108), (157, 188, 64), (224, 163, 46), (56, 61, 150), (70, 148, 73)),
        *((175, 54, 60), (187, 86, 149)),
        *((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (40, 90, 200)),
    ],
    np.uint8,
)
NATURAL = 23  # the first colours are inside the gamut, those after them on its edge
PATCH_PX = 16
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # tag: weights of R and B
PQ, HLG, BT2020_10 = 16, 18, 14
WHITE_CD_M2 = 203.0


def to_yuv(rgb: np.ndarray, matrix: int, full: bool, bits: int) -> np.ndarray:
    """Code values [3, N] of non-linear RGB [N, 3] in [0, 1]."""
    red, blue = MATRICES[matrix]
    r, g, b = rgb.T
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = np.stack([(b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))])
    scale, top = 2 ** (bits - 8), 2**bits - 1
    if full:
        codes = np.concatenate([luma[None] * top, chroma * top + 128 * scale])
    else:
        codes = scale * np.concatenate([16 + 219 * luma[None], 128 + 224 * chroma])
    return np.clip(np.rint(codes), 0, top).astype(int)


def write_chart(path: Path, codes: np.ndarray, height: int = 32, bits: int = 8, **tags: int) -> Path:
    """Writes one patch per column of ``codes`` as lossless video with these colour tags."""
    import av

    pixel_format = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    kind = np.uint8 if bits == 8 else np.uint16
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = PATCH_PX * codes.shape[1], height, pixel_format
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(stream.width, height, pixel_format)
        for plane, values in zip(frame.planes, codes, strict=True):
            rows = np.zeros((height, plane.line_size // kind().itemsize), kind)
            rows[:, : stream.width] = np.repeat(values, PATCH_PX)
            plane.update(rows.tobytes())
        for name, value in tags.items():
            setattr(frame, name, value)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def errors(path: Path) -> np.ndarray:
    """Largest difference of each patch from the chart, grey levels [N]."""
    _, image = next(iter(read_frames(path)))
    seen = image[image.shape[0] // 2, PATCH_PX // 2 :: PATCH_PX].astype(int)
    return np.abs(seen - CHART).max(1)


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_matrices_and_ranges(tmp_path: Path, matrix: int, full: bool, bits: int) -> None:
    codes = to_yuv(CHART / 255, matrix, full, bits)
    path = write_chart(tmp_path / "v.mkv", codes, bits=bits, colorspace=matrix, color_range=2 if full else 1)
    assert errors(path).max() <= 2


@pytest.mark.parametrize(("height", "matrix"), [(576, 6), (720, 1)])
def test_untagged_video_has_the_matrix_of_its_size(tmp_path: Path, height: int, matrix: int) -> None:
    path = write_chart(tmp_path / "v.mkv", to_yuv(CHART / 255, matrix, False, 8), height)
    assert errors(path).max() <= 2


def rgb_to_xyz(*primaries: tuple[float, float]) -> np.ndarray:
    """Matrix [3, 3] from linear RGB with these chromaticities and the white point D65."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


def hdr_codes(transfer: int) -> np.ndarray:
    """The chart as BT.2020 video [3, N] of 10 bits, with white at 203 cd/m²."""
    narrow = rgb_to_xyz((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
    wide = rgb_to_xyz((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
    light = ((CHART / 255) ** 2.4 @ (np.linalg.inv(wide) @ narrow).T).clip(0)  # 1 is white
    if transfer == PQ:
        power = (light * WHITE_CD_M2 / 10000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    elif transfer == HLG:  # on a display of 1000 cd/m², with the system gamma 1.2
        display = light * WHITE_CD_M2 / 1000
        luminance = np.maximum(display @ [0.2627, 0.6780, 0.0593], 1e-9)[:, None]
        scene = luminance ** (1 / 1.2 - 1) * display
        a, b = 0.17883277, 0.28466892
        bright = a * np.log(np.maximum(12 * scene - b, 1e-9)) + 0.5 - a * np.log(4 * a)
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)
    else:
        signal = light ** (1 / 2.4)
    return to_yuv(signal, 9, False, 10)


@pytest.mark.parametrize(("transfer", "matrix_tag"), [(PQ, 9), (HLG, 9), (BT2020_10, 9), (HLG, 2)])  # 2: unknown
def test_hdr_and_wide_gamut_are_converted(tmp_path: Path, transfer: int, matrix_tag: int) -> None:
    """Colours inside the gamut are right; FFmpeg's lookup table is too coarse for the dark channels at its edge."""
    tags = {"colorspace": matrix_tag, "color_range": 1, "color_primaries": 9, "color_trc": transfer}
    found = errors(write_chart(tmp_path / "v.mkv", hdr_codes(transfer), bits=10, **tags))
    assert found[:NATURAL].max() <= 2
    assert found.max() <= 36


def test_highlights_are_clipped_and_frames_may_repeat(tmp_path: Path) -> None:
    codes = np.full((3, 16), 512)
    codes[0] = np.linspace(64, 940, 16)
    tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": PQ}
    path = write_chart(tmp_path / "v.mkv", codes, bits=10, **tags)
    images = [image[16, PATCH_PX // 2 :: PATCH_PX, 1] for _, image in read_frames(path, 100.0)]
    assert len(images) == 4 and all(np.array_equal(image, images[0]) for image in images)
    levels = images[0].astype(int)
    assert (np.diff(levels) >= 0).all() and levels[0] == 0
    assert (levels[10:] == 255).all() and (np.diff(levels[:9]) > 0).all(), "white is at 58 % of the signal"
