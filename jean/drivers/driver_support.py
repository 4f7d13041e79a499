"""The supports of all drivers of one person's head: the one owner of which driver values are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from jean.drivers.pose_support import PoseSupport
from jean.drivers.support import Support
from jean.row_file import parts_in_blocks

OFFSET_ROOM = 2.0  # factor on the radii of offsets: they only deform space, which stays defined further out
UPPER = np.arange(17, 48)  # iBUG numbers of brows, nose and eyes
LOWER = np.array([*range(17), *range(48, 68)])


@dataclass(frozen=True)
class DriverSupport:
    """The supports of all drivers of one person's head.

    Attributes:
        expression: support of the expression vectors.
        upper_offsets: support of the landmark offsets of brows, nose and eyes, flattened to [62], cm.
        lower_offsets: support of the landmark offsets of contour and mouth, flattened to [74], cm.
        pose: support of the head poses.
        lips: support of the lip coordinates; None for the self-supervised embedding (Eqs. 1 and 2), which has none.
    """

    expression: Support
    upper_offsets: Support
    lower_offsets: Support
    pose: PoseSupport
    lips: Support | None

    @classmethod
    def fit(
        cls, expression: np.ndarray, offsets: np.ndarray, camera_to_world: np.ndarray, lips: np.ndarray | None
    ) -> DriverSupport:
        """The supports of T training frames.

        Args:
            expression: [T, E]; offsets: [T, 68, 2], cm; camera_to_world: [T, 4, 4]; lips: [T, W], or None.
        """
        return cls(
            # the floors are the smallest scales that the head itself knows (``nerf_model.set_statistics``)
            Support.fit(expression, scale_floor=0.02),
            Support.fit(_flat(offsets, UPPER), scale_floor=0.02, room=OFFSET_ROOM),
            Support.fit(_flat(offsets, LOWER), scale_floor=0.02, room=OFFSET_ROOM),
            PoseSupport.fit(camera_to_world),
            None if lips is None else Support.fit(lips, scale_floor=0.02),
        )

    def unlimited(self) -> DriverSupport:
        """The same means without any limit: what ``limit`` and ``approach`` return is what they are given."""

        def free(support: Support) -> Support:
            return replace(support, radius=np.inf, residual_radius=np.inf)

        return DriverSupport(
            free(self.expression),
            free(self.upper_offsets),
            free(self.lower_offsets),
            replace(self.pose, motion=free(self.pose.motion)),
            None if self.lips is None else free(self.lips),
        )

    def limit_offsets(self, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Limits offsets to their supports.

        Args:
            offsets: [T, 68, 2], cm.

        Returns:
            Limited offsets [T, 68, 2], and the remaining fractions [T] of the upper and the lower face.
        """

        def both(rows: np.ndarray) -> tuple[np.ndarray, ...]:
            near, remaining = rows.astype(np.float64), []
            for points, support in ((UPPER, self.upper_offsets), (LOWER, self.lower_offsets)):
                values, fraction = support.limit(_flat(rows, points))
                near[:, points] = values.reshape(len(rows), -1, 2)
                remaining.append(fraction)
            return near, *remaining

        limited, upper, lower = parts_in_blocks(both, offsets)
        return limited, upper, lower

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays for storage, named PART/NAME."""
        parts = {
            "expression": self.expression,
            "upper_offsets": self.upper_offsets,
            "lower_offsets": self.lower_offsets,
            "pose": self.pose.motion,
            "lips": self.lips,
        }
        named = {
            f"{part}/{name}": array
            for part, support in parts.items()
            if support is not None
            for name, array in support.arrays().items()
        }
        return named | {"pose/mean_pose": self.pose.mean}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> DriverSupport:
        """The inverse of ``arrays``."""

        def part(name: str) -> Support:
            prefix = f"{name}/"
            return Support.from_arrays({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})

        lips = part("lips") if "lips/mean" in arrays else None
        pose = PoseSupport(arrays["pose/mean_pose"], part("pose"))
        return cls(part("expression"), part("upper_offsets"), part("lower_offsets"), pose, lips)


def _flat(offsets: np.ndarray, points: np.ndarray) -> np.ndarray:
    return offsets[:, points].reshape(len(offsets), -1)
