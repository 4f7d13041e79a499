"""Whole frames: 8-bit colours and the order of their pixels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from jean.models import frame


def test_as_bytes_rounds_as_numpy_does():
    torch.manual_seed(0)
    rgb = torch.cat([torch.randn(5000, 3), torch.arange(256).float()[:, None].expand(-1, 3) / 255])
    expected = (np.clip(rgb.numpy(), 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    assert np.array_equal(frame.as_bytes(rgb).numpy(), expected)
    assert frame.as_bytes(torch.tensor([-1.0, 0.0, 0.5, 1.0, 9.0])).tolist() == [0, 0, 128, 255, 255]


def test_rendered_pixels_return_to_their_positions(monkeypatch):
    """The rendered colours encode each pixel's position and its background."""
    size = 24
    background = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)

    def encode_positions(model, frames, pixels, background_rgb, size_px):
        assert size_px == size
        position = (pixels - 0.5) / 255
        return torch.cat([position, background_rgb[:, 2:]], 1), pixels[:, 0] * 100 + pixels[:, 1]

    monkeypatch.setattr(frame, "render_pixels", encode_positions)
    model = SimpleNamespace(device=torch.device("cpu"), head=SimpleNamespace(draws_pictures=False))
    rendered = frame.render_frame(model, None, background)
    rows, columns = np.indices((size, size))
    assert np.array_equal(rendered.rgb, np.stack([columns, rows, background[..., 2]], -1))
    assert np.array_equal(rendered.depth_cm, (columns + 0.5) * 100 + rows + 0.5)
