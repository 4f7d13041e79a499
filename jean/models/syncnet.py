"""SyncNet: one vector for a fifth of a second of lips, one for the same moment of sound.

Chung and Zisserman, "Out of time: automated lip sync in the wild" (2016). Names and shapes are those of
the public state dict ``syncnet_v2.model``, so that it loads as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn

WINDOW = 5  # frames that one vector of the lips sees
MFCC_ROWS, MFCC_WIDTH = 20, 13  # what one vector of the sound sees: 0.2 s
FEATURES = 1024

# (module, settings) in the order of the sequential; "conv" stands for convolution, batch norm, ReLU
_SOUND = (
    ("conv", 1, 64, 3, 1, 1),
    ("pool", 1, 1, 0),
    ("conv", 64, 192, 3, 1, 1),
    ("pool", 3, (1, 2), 0),
    ("conv", 192, 384, 3, 1, 1),
    ("conv", 384, 256, 3, 1, 1),
    ("conv", 256, 256, 3, 1, 1),
    ("pool", 3, 2, 0),
    ("conv", 256, 512, (5, 4), 1, 0),
)
_LIPS = (
    ("conv", 3, 96, (5, 7, 7), (1, 2, 2), 0),
    ("pool", (1, 3, 3), (1, 2, 2), 0),
    ("conv", 96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)),
    ("pool", (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ("conv", 256, 256, (1, 3, 3), 1, (0, 1, 1)),
    ("conv", 256, 256, (1, 3, 3), 1, (0, 1, 1)),
    ("conv", 256, 256, (1, 3, 3), 1, (0, 1, 1)),
    ("pool", (1, 3, 3), (1, 2, 2), 0),
    ("conv", 256, 512, (1, 6, 6), 1, 0),
)


class SyncNet(nn.Module):
    """Both networks; used in evaluation mode, where batch norms use their stored statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _convolutions(_SOUND, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
        self.netfcaud = _head()
        self.netcnnlip = _convolutions(_LIPS, nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)
        self.netfclip = _head()

    def lips(self, frames: Tensor) -> Tensor:
        """Vectors of all windows of five successive frames.

        Only the first layer looks along time, so all windows of a stretch are one convolution; the values
        are those of each window by itself.

        Args:
            frames: [3, T, 224, 224], BGR, 0 to 255, T of 5 or more.

        Returns:
            [T − 4, 1024]; row i has seen frames i to i + 4.
        """
        features = self.netcnnlip(frames.unsqueeze(0))  # [1, 512, T − 4, 1, 1]
        return self.netfclip(features[0, :, :, 0, 0].transpose(0, 1))

    def sound(self, windows: Tensor) -> Tensor:
        """Vectors [B, 1024] of windows [B, 1, 13, 20] of cepstral coefficients."""
        return self.netfcaud(self.netcnnaud(windows).flatten(1))


def load(state: Mapping[str, Tensor]) -> SyncNet:
    """The network with the given state dict, in evaluation mode.

    Raises:
        ValueError: a name is missing or unknown, or a shape is another.
    """
    net = SyncNet()
    own = net.state_dict()
    # older versions of torch did not count batches; the count is of no use in evaluation
    counts = {name for name in own if name.endswith("num_batches_tracked")}
    missing = sorted(set(own) - set(state) - counts)
    unknown = sorted(set(state) - set(own))
    if missing or unknown:
        raise ValueError(f"{len(missing)} names are missing, {len(unknown)} are unknown: {(missing + unknown)[0]}")
    for name, value in state.items():
        if own[name].shape != value.shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(own[name].shape)}")
    net.load_state_dict(dict(state), strict=False)
    return net.eval().requires_grad_(False)


def _convolutions(layers: tuple, conv: type, norm: type, pool: type) -> nn.Sequential:
    modules: list[nn.Module] = []
    for kind, *settings in layers:
        if kind == "conv":
            inside, outside, kernel, stride, padding = settings
            modules += [conv(inside, outside, kernel, stride, padding), norm(outside), nn.ReLU(inplace=True)]
        else:
            modules.append(pool(*settings))
    return nn.Sequential(*modules)


def _head() -> nn.Sequential:
    widths = (512, 512, FEATURES)
    first, last = (nn.Linear(inside, outside) for inside, outside in pairwise(widths))
    return nn.Sequential(first, nn.BatchNorm1d(512), nn.ReLU(), last)
