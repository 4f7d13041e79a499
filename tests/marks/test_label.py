"""The visible label: where it is drawn, and which texts are refused."""

from __future__ import annotations

import numpy as np
import pytest

from jean.errors import UsageError
from jean.marks.label import draw_label


@pytest.mark.parametrize("size", [32, 256, 512])
def test_the_text_stands_in_the_lower_left_corner_alone(size: int) -> None:
    image = np.full((size, size, 3), 200, np.uint8)
    marked = draw_label(image, "synthetic")
    assert (image == 200).all()
    changed = (marked != 200).any(-1)
    rows, columns = np.nonzero(changed)
    assert rows.max() == size - 1 and columns.min() == 0
    assert rows.min() >= size * 0.6 and not changed[: size // 2].any()
    strip = marked[changed]
    assert strip.min() == 90 and strip.max() >= 240  # the shade 0.45 · 200, and white letters


def test_letters_of_other_alphabets_differ_and_long_texts_fit() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    pictures = [draw_label(image, text) for text in ("ő", "ж", "λ", "o")]
    assert len({picture.tobytes() for picture in pictures}) == 4
    assert draw_label(image, "synthetic " * 15).shape == (64, 64, 3)


@pytest.mark.parametrize(
    "text, reason", [("", "one line"), (" ", "one line"), ("a\nb", "one line"), ("映画", "no 映 画")]
)
def test_other_texts_are_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        draw_label(np.zeros((64, 64, 3), np.uint8), text)
