"""The paper's field F_Θ (Eq. 5, section 8.4.2): AD-NeRF's MLP at width 128."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from jean.kernels.backend import REFERENCE, Backend
from jean.kernels.dispatch import MlpSpec, cached_list, mlp_field, mlp_values
from jean.models.encoding import encode, encoded_width, expand_frames

POSITION_FREQUENCIES = 10  # section 8.4.2
DIRECTION_FREQUENCIES = 4  # section 8.4.2
# Positions are encoded in metres about the head's origin, as in AD-NeRF: the shortest period is 1.23 cm. In a smaller
# unit the same frequencies are finer than what a short clip shows, and fit its noise.
UNIT_CM = 100.0


class MlpField(nn.Module):
    """Eight ReLU layers over [encoded x, e_in], with the input concatenated again after the fifth.

    Density comes from the last hidden layer; colour from [hidden, encoded d] through three layers of half the width.
    Condition and direction are constant within a frame.

    Args:
        condition_width: width of e_in.
        box: (low, high) corners of a volume, head space, cm, that is scaled to [-1, 1]; None: positions in metres.
        width: hidden size (the paper: 128).
        depth: layers (the paper: 8).
        skip: index of the layer after which the input is concatenated again.

    Attributes:
        backend: whether compiled kernels or the torch code of this file compute the field.
    """

    middle: Tensor
    reach: Tensor
    backend: Backend

    def __init__(
        self,
        condition_width: int,
        box: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
        width: int = 128,
        depth: int = 8,
        skip: int = 4,
    ):
        super().__init__()
        self.backend = REFERENCE
        # what positions are encoded as: (x - middle) / reach. Stored, because earlier heads have the scale of their box
        low, high = torch.tensor([[-UNIT_CM] * 3, [UNIT_CM] * 3] if box is None else box)
        self.register_buffer("middle", (low + high) / 2)
        self.register_buffer("reach", (high - low) / 2)
        inputs = encoded_width(3, POSITION_FREQUENCIES) + condition_width
        self.skip = skip
        self.layers = nn.ModuleList(
            nn.Linear(inputs if i == 0 else width + (inputs if i == skip + 1 else 0), width) for i in range(depth)
        )
        self.density = nn.Linear(width, 1)
        colour_width = width // 2
        directions = encoded_width(3, DIRECTION_FREQUENCIES)
        self.colour = nn.ModuleList(
            [
                nn.Linear(width + directions, colour_width),
                nn.Linear(colour_width, colour_width),
                nn.Linear(colour_width, colour_width),
            ]
        )
        self.rgb = nn.Linear(colour_width, 3)

    def forward(self, positions: Tensor, condition: Tensor, direction: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Density and colour at positions.

        Args:
            positions: [N, 3], head space, cm.
            condition: [F, condition_width], e_in of F frames.
            direction: [F, 3], unit viewing direction of F frames.
            frame: [N] int, index of each position's frame, 0 to F - 1.

        Returns:
            density [N], non-negative, per cm, and rgb [N, 3] in [0, 1].
        """
        if self.backend.uses_kernels("mlp", positions):
            return mlp_field(positions, frame, self.kernel_spec(condition, direction))
        encoded = encode((positions - self.middle) / self.reach, POSITION_FREQUENCIES)
        per_sample = expand_frames(frame, len(condition))
        inputs = torch.cat([encoded, per_sample(condition)], -1)
        hidden = inputs
        for index, layer in enumerate(self.layers):
            hidden = functional.relu(layer(hidden))
            if index == self.skip:
                hidden = torch.cat([inputs, hidden], -1)
        density = functional.relu(self.density(hidden)[:, 0])
        shade = torch.cat([hidden, per_sample(encode(direction, DIRECTION_FREQUENCIES))], -1)
        for layer in self.colour:
            shade = functional.relu(layer(shade))
        return density, torch.sigmoid(self.rgb(shade))

    def infer(
        self,
        positions: Tensor,
        condition: Tensor,
        direction: Tensor,
        frame: Tensor,
        colour: bool,
        precision: str = "fp32",
    ) -> tuple[Tensor, Tensor]:
        """``forward`` by the kernels, for rendering: without gradients.

        Args:
            positions: [N, 3], head space, cm.
            condition: [F, condition_width], e_in of F frames.
            direction: [F, 3], unit viewing direction of F frames.
            frame: [N] int, index of each position's frame, 0 to F - 1.
            colour: whether to compute colours; they are zero in blocks of positions without density.
            precision: "fp32" or "bf16".

        Returns:
            density [N], and rgb [N, 3], or [N, 0] without ``colour``.
        """
        density, rgb = mlp_values(positions, frame, self.kernel_spec(condition, direction), colour, precision)
        return density, density.new_empty(len(density), 0) if rgb is None else rgb

    def kernel_spec(self, condition: Tensor, direction: Tensor) -> MlpSpec:
        """The field as arguments of the kernels, with condition and direction folded into biases per frame.

        Args:
            condition: [F, condition_width], e_in of F frames.
            direction: [F, 3], unit viewing direction of F frames.
        """
        encoded = encoded_width(3, POSITION_FREQUENCIES)
        inputs = encoded + condition.shape[1]
        layers: list[Any] = [*self.layers, *self.colour]
        weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
        join, branch = self.skip + 1, len(self.layers)
        for index in (0, join):
            weight = weights[index]
            biases[index] = functional.linear(condition, weight[:, encoded:inputs], biases[index])
            weights[index] = torch.cat([weight[:, :encoded], weight[:, inputs:]], 1)
        width, weight = weights[branch - 1].shape[0], weights[branch]
        encoded_direction = encode(direction, DIRECTION_FREQUENCIES)
        biases[branch] = functional.linear(encoded_direction, weight[:, width:], biases[branch])
        weights[branch] = weight[:, :width]
        ends = [self.density.weight, self.density.bias, self.rgb.weight, self.rgb.bias]
        (x, y, z), (across, down, along) = cached_list(self.middle), cached_list(self.reach)
        return MlpSpec(weights, biases, ends, branch, join, (x, y, z), (across, down, along), len(condition))
