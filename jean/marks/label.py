"""A visible label in the lower left corner of every frame."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import SetupError, UsageError

_HEIGHT = 1 / 20  # of the text, as a fraction of the frame's side
_SHADE = 0.45  # of the picture behind the text


def draw_label(rgb: np.ndarray, text: str) -> np.ndarray:
    """Draws white text on a shaded strip; a text that is too wide gets smaller letters.

    Args:
        rgb: uint8 [H, W, 3].
        text: one line of printable characters.

    Returns:
        A new image, uint8 [H, W, 3].

    Raises:
        UsageError: the text is empty, or the font lacks one of its characters.
        SetupError: a package is missing.
    """
    height, width = rgb.shape[:2]
    mask = _text_mask(text, max(8, round(_HEIGHT * height)), width)
    rows, columns = mask.shape
    result = rgb.copy()
    corner = result[height - rows :, :columns].astype(np.float32)
    opacity = mask[..., None].astype(np.float32) / 255
    result[height - rows :, :columns] = np.round(corner * _SHADE * (1 - opacity) + 255 * opacity).astype(np.uint8)
    return result


@lru_cache(maxsize=8)
def _text_mask(text: str, size_px: int, limit_px: int) -> np.ndarray:
    """Opacity of the text on its strip, uint8 [h, w] with w ≤ ``limit_px``."""
    if not text.strip() or not text.isprintable():
        raise UsageError("--label needs one line of text.", "For example: --label synthetic")
    font, missing = _font(size_px)
    if lacking := sorted({character for character in text if missing(character)}):
        raise UsageError(f"the label's font has no {' '.join(lacking)}.", "Use Latin, Greek or Cyrillic letters.")
    from PIL import Image, ImageDraw

    left, _, right, _ = font.getbbox(text)
    margin = max(2, size_px // 4)
    width, height = int(right - left) + 2 * margin, size_px + 2 * margin
    if width > limit_px and size_px > 4:
        return _text_mask(text, max(4, size_px * limit_px // width - 1), limit_px)
    image = Image.new("L", (min(width, limit_px), height))
    ImageDraw.Draw(image).text((margin - left, height - margin), text, fill=255, font=font, anchor="ls")
    return np.asarray(image)


def _font(size_px: int) -> tuple[Any, Any]:
    """The font, and a function that tells whether it lacks a character."""
    try:
        import matplotlib
        from matplotlib.ft2font import FT2Font
        from PIL import ImageFont
    except ImportError as error:
        raise SetupError(f"the package {error.name} is missing.", "Run: pip install matplotlib") from error
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    known = FT2Font(str(path)).get_charmap()
    return ImageFont.truetype(str(path), size_px), lambda character: ord(character) not in known
