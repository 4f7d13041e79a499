"""Prior on the depth of the eyes: without it, gaze is learned as a hollow eye.

People look at the camera while they turn the head, so their gaze within the head follows the pose. An eye whose surface
lies a centimetre too deep shows the same: its iris shifts by parallax. Such a head explains the training frames without
the gaze, and then follows neither an asked gaze (slope 0.37 in place of 1) nor another pose. So the surface within the
opening of the lids has to keep the distance from the tracker's face that the skin around it has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from jean.kernels.reference import Composite
from jean.landmarks import LEFT_EYE, RIGHT_EYE

FACE_POINTS = tuple(range(17, 68))
REACH_CM, RIDGE = 2.5, 0.05  # of the surface through the landmarks, as for the density's relief
OPENING_CM = (1.3, 0.45)  # half width and half height of the opening of the lids
AROUND_CM = (3.0, 2.4)  # likewise of the skin that the opening is compared with
OPAQUE = 0.5  # rays with less opacity have no surface
LEAST_RAYS = 8  # in the opening and around it
LARGE_CM = 0.1  # errors beyond count linearly: before a surface has formed they are centimetres
EYE_DEPTH_WEIGHT = 0.005


class EyeDepth:
    """Compares the depth of the eyes with that of the face around them.

    Args:
        shape: the person's rigid head [68][3], head space, cm.
        device: where rays are traced.
    """

    def __init__(self, shape: Sequence[Sequence[float]], device: torch.device):
        points = torch.tensor(shape, dtype=torch.float64)
        face = points[list(FACE_POINTS)]
        self.points = face[:, :2].float().to(device)
        # the surface is mean + kernel(position, points) · coefficients
        inner = torch.exp(-torch.cdist(face[:, :2], face[:, :2]).square() / (2 * REACH_CM**2))
        inner = inner + RIDGE * torch.eye(len(face), dtype=inner.dtype)
        self.mean = float(face[:, 2].mean())
        self.coefficients = torch.linalg.solve(inner, face[:, 2] - self.mean).float().to(device)
        centres = torch.stack([points[eye, :2].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)])
        self.centres = centres.float().to(device)
        # half axes of ellipses about the eyes: the opening, its rim, the skin around; tensors, as CUDA graphs need them
        rim = (1.3 * OPENING_CM[0], 1.6 * OPENING_CM[1])
        self.opening, self.rim, self.around = torch.tensor([OPENING_CM, rim, AROUND_CM], device=device)

    def surface(self, positions: Tensor) -> Tensor:
        """z [N], cm, of the face through the landmarks, at x and y of ``positions`` [N, 2], head space, cm."""
        kernel = torch.exp(-torch.cdist(positions, self.points).square() / (2 * REACH_CM**2))
        return self.mean + kernel @ self.coefficients

    def loss(self, origins: Tensor, directions: Tensor, traced: Composite) -> Tensor:
        """Mean Huber loss, cm², between the depth of the eyes and that of the skin around them.

        Args:
            origins: of R rays [R, 3], head space, cm.
            directions: [R, 3], unit length.
            traced: their composite.
        """
        # both carry gradients, so that opacity cancels: otherwise the loss falls by making deep eyes transparent
        hit = origins + directions * (traced.depth / traced.opacity.clamp_min(OPAQUE))[:, None]
        place, opacity = hit[:, :2].detach(), traced.opacity.detach()
        beyond = hit[:, 2] - self.surface(place)
        distance = (place[:, None] - self.centres[None]).abs()
        opaque = opacity > OPAQUE

        def within(half: Tensor) -> Tensor:
            return opaque & ((distance / half).square().sum(-1).amin(1) < 1)

        opening, around = within(self.opening), (within(self.around) & ~within(self.rim)).float()
        skin = (beyond.detach() * around).sum() / around.sum().clamp_min(1)
        enough = ((around.sum() >= LEAST_RAYS) & (opening.sum() >= LEAST_RAYS)).float()
        weight = opening.float() * enough
        error = huber_loss(beyond, skin.expand_as(beyond), reduction="none", delta=LARGE_CM)
        return (weight * error).sum() / weight.sum().clamp_min(1)
