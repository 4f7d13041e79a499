"""Colours as bytes, on a processor and as a card makes them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from jean.models import paint


def test_bytes_are_those_that_numpy_makes():
    torch.manual_seed(0)
    rgb = torch.cat([torch.randn(5000, 3), torch.arange(256).float()[:, None].expand(-1, 3) / 255])
    expected = (np.clip(rgb.numpy(), 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    assert np.array_equal(paint.as_bytes(rgb).numpy(), expected)
    assert paint.as_bytes(torch.tensor([-1.0, 0.0, 0.5, 1.0, 9.0])).tolist() == [0, 0, 128, 255, 255]


def test_a_picture_is_put_together_where_its_pixels_lie(monkeypatch):
    """Colours tell of each pixel's place and of its background."""
    size = 24
    background = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)

    def painted(model, frames, pixels, behind, side):
        assert side == size
        place = (pixels - 0.5) / 255
        return torch.cat([place, behind[:, 2:]], 1), pixels[:, 0] * 100 + pixels[:, 1]

    monkeypatch.setattr(paint, "paint", painted)
    model = SimpleNamespace(expression_mean=torch.zeros(1))
    made = paint.picture(model, None, background)
    rows, columns = np.indices((size, size))
    assert np.array_equal(made.rgb, np.stack([columns, rows, background[..., 2]], -1))
    assert np.array_equal(made.depth_cm, (columns + 0.5) * 100 + rows + 0.5)
