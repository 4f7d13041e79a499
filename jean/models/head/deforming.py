"""What heads share whose face moves with the landmarks: the fast and the Gaussian head."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from jean.models.head.base import Head, HeadArguments
from jean.models.head.deformation import FaceDeformation

EYES_AND_BROWS = (*range(17, 27), *range(36, 48))  # iBUG numbers
MOUTH = tuple(range(48, 68))
EYES_MARGIN_CM, MOUTH_MARGIN_CM = 1.3, 2.0  # of the regions around them that follow the condition


class DeformingHead(Head):
    """A head in canonical space whose frontal plane is displaced.

    Args:
        arguments: what every head is built from.
    """

    takes_eyes = True

    def __init__(self, arguments: HeadArguments):
        super().__init__(arguments)
        self.face_deformation = FaceDeformation(
            arguments.shape, arguments.box, arguments.widths[0], arguments.audio_drives_mouth
        )

    def view(self, camera_to_world: Tensor, pose: Tensor) -> Tensor:
        """Standardised slants of the head (yaw, roll, pitch): colours change linearly with them."""
        return pose[:, 3:]

    def deformation(self, offsets: Tensor, lips: Tensor) -> Tensor:
        """Displacements of the frontal plane [F, cells², 2], cm; see ``FaceDeformation``."""
        return self.face_deformation(offsets[:, self.face_deformation.points].flatten(1), lips)

    def fit_deformation(self, lips: Tensor, offsets: Tensor) -> None:  # noqa: D102
        self.face_deformation.fit(lips, offsets)

    def hold_rigid_parts(self, rigid_fraction: Callable[[Tensor], Tensor]) -> None:  # noqa: D102
        self.face_deformation.hold(rigid_fraction)

    def lip_coordinates(self, offsets: Tensor) -> Tensor:  # noqa: D102
        return self.face_deformation.lip_coordinates(offsets)
