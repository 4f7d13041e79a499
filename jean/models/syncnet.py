"""SyncNet embeds 0.2 s of lips and the same 0.2 s of audio into vectors that match if they are in sync.

Chung and Zisserman, "Out of time: automated lip sync in the wild" (2016). Parameters have the names and shapes of the
public state dict ``syncnet_v2.model``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn

WINDOW = 5  # frames per lip embedding, 0.2 s at 25 fps
FEATURES = 1024  # width of an embedding

# (kind, settings) of each layer. "conv": input and output channels, kernel, stride and padding of a convolution, which
# batch norm and ReLU follow. "pool": kernel, stride and padding of a maximum pooling.
_AUDIO = (
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
    """The audio network and the lip network. Both are used in evaluation mode, with stored batch norm statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _convolutions(_AUDIO, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
        self.netfcaud = _head()
        self.netcnnlip = _convolutions(_LIPS, nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)
        self.netfclip = _head()

    def lips(self, frames: Tensor) -> Tensor:
        """Lip embeddings of all windows of five successive frames.

        Only the first layer convolves over time. All windows of a video are therefore one convolution, with the same
        values as one pass per window.

        Args:
            frames: [3, T, 224, 224], BGR, 0 to 255, T at least 5.

        Returns:
            [T - 4, 1024]; row i belongs to frames i to i + 4.
        """
        features = self.netcnnlip(frames.unsqueeze(0))  # [1, 512, T - 4, 1, 1]
        return self.netfclip(features[0, :, :, 0, 0].transpose(0, 1))

    def sound(self, windows: Tensor) -> Tensor:
        """Audio embeddings [B, 1024] of MFCC windows [B, 1, 13, 20]: 13 coefficients of 20 rows, 0.2 s."""
        return self.netfcaud(self.netcnnaud(windows).flatten(1))


def load(state: Mapping[str, Tensor]) -> SyncNet:
    """Builds the network from a state dict, in evaluation mode and without gradients.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs.
    """
    net = SyncNet()
    own = net.state_dict()
    # state dicts of old torch versions lack the batch counts, which evaluation does not use
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
            inputs, outputs, kernel, stride, padding = settings
            modules += [conv(inputs, outputs, kernel, stride, padding), norm(outputs), nn.ReLU(inplace=True)]
        else:
            modules.append(pool(*settings))
    return nn.Sequential(*modules)


def _head() -> nn.Sequential:
    widths = (512, 512, FEATURES)
    first, last = (nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths))
    return nn.Sequential(first, nn.BatchNorm1d(512), nn.ReLU(), last)
