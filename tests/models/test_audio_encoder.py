"""The audio encoder: sizes of section 8.2.2, the strided convolution, and noise on audio windows."""

from __future__ import annotations

import pytest
import torch

from jean.models.audio_encoder import AudioEncoder, noisy_windows, strided_convolution


def test_windows_of_16_rows_give_ad_nerfs_channels():
    model = AudioEncoder(features=29, window=16)
    layers = [layer for layer in model.convolutions if isinstance(layer, torch.nn.Conv1d)]
    assert [(layer.in_channels, layer.out_channels) for layer in layers] == [(29, 32), (32, 32), (32, 64), (64, 64)]
    assert model(torch.zeros(3, 16, 29)).shape == (3, 64)


def test_the_window_must_be_a_power_of_two():
    with pytest.raises(ValueError, match="power of two"):
        AudioEncoder(features=29, window=12)


def test_the_strided_convolution_equals_torchs():
    torch.manual_seed(0)
    layer = torch.nn.Conv1d(5, 7, 3, 2, 1)
    rows = torch.randn(4, 8, 5)
    assert torch.allclose(strided_convolution(rows, layer), layer(rows.transpose(1, 2)).transpose(1, 2), atol=1e-6)


def test_noise_has_an_offset_per_window_per_band_and_per_value():
    random = torch.Generator().manual_seed(0)
    noise = noisy_windows(torch.zeros(2000, 16, 8), 0.1, lambda shape: torch.randn(shape, generator=random))
    assert abs(noise.var().item() - 3 * 0.1**2) < 2e-3
    assert abs(noise.mean(1).var().item() - (2 + 1 / 16) * 0.1**2) < 2e-3  # offsets of window and band remain
    assert abs(noise.mean((1, 2)).var().item() - (1 + 1 / 8 + 1 / 128) * 0.1**2) < 2e-3  # the window's remains


def test_without_noise_nothing_is_drawn():
    windows = torch.ones(2, 16, 8)
    assert noisy_windows(windows, 0.0, pytest.fail) is windows
