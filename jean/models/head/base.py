"""The head's contract: everything that training and rendering call on a head.

A head turns the per-frame condition e_in and the pixels of a camera into colour, opacity and depth. It knows nothing of
clips, configurations or files. To add a head, derive from ``Head`` and register it (``jean.models.head.registry``).

Training and rendering call ``draw``. A head of rays overrides ``trace``, to which ``draw`` gives the ray of each pixel.
A head that draws whole pictures (Gaussian splatting) overrides ``draw`` and sets ``draws_pictures``; training then asks
it for rectangular crops instead of scattered pixels.

The last interval of the paper's rays carries the background colour and is opaque (section 8.4.2). It contributes
exactly the background times the transmittance that is left, so heads leave it out and the caller composites the head
over its background.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from jean.errors import UsageError
from jean.kernels.backend import Backend
from jean.kernels.dispatch import FrameTorso, camera_rays
from jean.kernels.reference import Composite
from jean.models.pose import view_directions

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class HeadArguments:
    """What a head is built from.

    Attributes:
        widths: of the parts of e_in: speech, expression, latent code of a training frame.
        eye_width: of the part of e_in that holds gaze and closure of the lids; it stands between expression and latent
            code, and may act on the eyes alone. 0: there is none.
        box: low and high corners of the volume, head space, cm.
        shape: the person's rigid head, 68 points of 3 coordinates, head space, cm.
        audio_drives_mouth: whether speech alone decides the lower face.
        size_px: side of the training frames.
    """

    widths: tuple[int, int, int]
    box: Box
    shape: Sequence[Sequence[float]]
    audio_drives_mouth: bool = True
    size_px: int = 256
    eye_width: int = 0

    @property
    def condition_width(self) -> int:
        """Width of e_in."""
        return sum(self.widths) + self.eye_width

    @property
    def eye_columns(self) -> tuple[int, int]:
        """First column of the eyes' part of e_in, and one past its last."""
        first = self.widths[0] + self.widths[1]
        return first, first + self.eye_width


@dataclass(frozen=True)
class CameraPixels:
    """R pixels of F frames, each with its camera.

    Attributes:
        pixels: pixel centres (x, y), half-integers [R, 2], px.
        frame: int [R], the frame of each pixel.
        camera_to_world: head poses [F, 4, 4].
        focal_px: focal length [F].
        center_px: principal point [F, 2].
    """

    pixels: Tensor
    frame: Tensor
    camera_to_world: Tensor
    focal_px: Tensor
    center_px: Tensor

    def rays(self) -> tuple[Tensor, Tensor]:
        """Origins and unit directions [R, 3] of the pixels' rays, head space, cm."""
        frame = self.frame
        with torch.autocast(self.pixels.device.type, enabled=False):  # directions need all digits
            return camera_rays(self.pixels, self.focal_px[frame], self.center_px[frame], self.camera_to_world[frame])


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with a learning rate of their own.

    Attributes:
        parameters: what is optimised.
        learning_rate: at the first step.
        eps: of Adam.
    """

    parameters: list[nn.Parameter]
    learning_rate: float
    eps: float


@dataclass(frozen=True)
class OccupancyUpdate:
    """Conditions under which a head may look at its own density while it trains.

    Attributes:
        step: number of the optimisation step, from 0.
        condition: [F, C], e_in of the step's frames.
        deformation: of the same frames, or None.
        generator: draws positions.
    """

    step: int
    condition: Tensor
    deformation: Tensor | None
    generator: torch.Generator = field(repr=False)


@dataclass(frozen=True)
class PosedGaussians:
    """N Gaussians of one frame, as ``jean.kernels.ops.splat`` takes them.

    Attributes:
        centres: [N, 3], head space, cm.
        scales: standard deviations [N, 3], cm.
        rotations: quaternions [N, 4], w first.
        opacities: [N], in [0, 1].
        colours: [N, 3], in [0, 1].
    """

    centres: Tensor
    scales: Tensor
    rotations: Tensor
    opacities: Tensor
    colours: Tensor


class PaintsPixels(Protocol):
    """One frame with head and torso, ready for a fused kernel."""

    def paint(
        self,
        camera_to_world: Tensor,
        focal_px: float,
        center_px: tuple[float, float],
        size_px: int,
        pixels: Tensor,
        background: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """rgb [R, 3] of pixels over a background, and depth [R], cm, which is 0 where the head is not opaque.

        Args:
            camera_to_world: [4, 4], OpenCV axes, cm.
            focal_px: focal length in pixels of the image.
            center_px: principal point (x, y).
            size_px: side of the image.
            pixels: [R, 2] positions (x, y), px; the centre of a pixel lies at a half-integer.
            background: [R, 3], in [0, 1].
        """
        ...


@dataclass(frozen=True)
class Rearrangement:
    """New rows of parameters whose number of primitives changes while they train (adaptive density control).

    Row i of every parameter now holds what stood in row ``source[i]``; optimiser and moving average have to follow.

    Attributes:
        parameters: all have N rows.
        source: int64 [N].
        fresh: bool [N], rows that are new: their optimiser state begins at zero, their moving average at their value.
    """

    parameters: list[nn.Parameter]
    source: Tensor
    fresh: Tensor


class Head(nn.Module, ABC):
    """Base class of all heads. A head is built from ``HeadArguments`` alone.

    Attributes:
        backend: what computes each operation, see ``use``.
        operations: the operations of ``jean.kernels.backend.OPERATIONS`` that the head uses.
        trained_by: the one that decides the speed of training.
        rendered_by: the one that decides the speed of rendering.
        training_defaults: configuration values of ``train-nerf`` for this head, for fields that the user leaves open.
        limits_drivers: whether rendering keeps drivers within the range of the training (``jean.drivers.support``).
        draws_pictures: whether ``draw`` computes the whole window around the pixels. Training then draws crops, and
            compares them as pictures.
        takes_eyes: whether the head can show the eyes' part of e_in in the region of the eyes alone.
    """

    backend: Backend
    operations: ClassVar[tuple[str, ...]]
    trained_by: ClassVar[str]
    rendered_by: ClassVar[str]
    training_defaults: ClassVar[Mapping[str, Any]] = {}
    limits_drivers: ClassVar[bool] = True
    draws_pictures: ClassVar[bool] = False
    takes_eyes: ClassVar[bool] = False

    def __init__(self, arguments: HeadArguments) -> None:
        super().__init__()
        self.backend = Backend.default()

    @abstractmethod
    def use(self, backend: Backend) -> None:
        """Uses a backend that was resolved for ``operations``, in the head and in its fields."""

    def draw(
        self,
        camera: CameraPixels,
        condition: Tensor,
        view: Tensor,
        generator: torch.Generator | None,
        deformation: Tensor | None = None,
    ) -> list[Composite]:
        """Composites of R pixels of F frames; the last is the result, earlier ones (coarse) are only trained.

        Args:
            camera: the pixels and their cameras.
            condition: [F, C], e_in.
            view: [F, 3], viewing direction, from ``view``.
            generator: draws the random numbers of training; None in use.
            deformation: from ``deformation``, or None.
        """
        return self.trace(*camera.rays(), condition, view, camera.frame, generator, deformation)

    def trace(
        self,
        origins: Tensor,
        directions: Tensor,
        condition: Tensor,
        view: Tensor,
        frame: Tensor,
        generator: torch.Generator | None,
        deformation: Tensor | None = None,
    ) -> list[Composite]:
        """``draw`` for a head of rays, which overrides it.

        Args:
            origins: [R, 3], head space, cm.
            directions: [R, 3], unit length.
            condition: [F, C], e_in.
            view: [F, 3], viewing direction, from ``view``.
            frame: int [R], the frame of each ray.
            generator: draws the jitter of samples while training; None without jitter.
            deformation: from ``deformation``, or None.
        """
        raise NotImplementedError(f"{type(self).__name__} traces no rays")

    def view(self, camera_to_world: Tensor, pose: Tensor) -> Tensor:
        """d of Eq. 5 [F, 3]: the head pose as viewing direction (section 8.4.2).

        Args:
            camera_to_world: [F, 4, 4].
            pose: [F, 6], standardised pose vectors.
        """
        return view_directions(camera_to_world)

    def deformation(self, offsets: Tensor, lips: Tensor) -> Tensor | None:
        """Motion of the face for ``trace``; None for heads that have no deformation.

        Args:
            offsets: landmark offsets [F, 68, 2], cm.
            lips: the audio part of e_in [F, audio_width].
        """
        return None

    def frame_scene(
        self, condition: Tensor, view: Tensor, deformation: Tensor | None, torso: Callable[[], FrameTorso]
    ) -> PaintsPixels | None:
        """One frame as a fused rendering kernel takes it; None where ``draw`` has to render.

        Args:
            condition: [1, C].
            view: [1, 3].
            deformation: of one frame.
            torso: makes the torso of the frame.
        """
        return None

    def prepare_training(
        self,
        device: torch.device,
        visual_hull: Callable[[Tensor], Tensor],
        seen_colours: Callable[[Tensor], Tensor],
    ) -> None:
        """Sets the state that training begins with.

        Args:
            device: where training runs.
            visual_hull: tells for positions [..., 3] whether the mattes allow a head there, bool [...].
            seen_colours: colours [N, 3] in [0, 1] that a training frame shows at positions [N, 3], head space, cm.
        """
        return None

    def fit_deformation(self, lips: Tensor, offsets: Tensor) -> None:
        """Fits the deformation to the training frames.

        Args:
            lips: lip coordinates [T, audio_width].
            offsets: landmark offsets [T, 68, 2], cm.
        """
        return None

    def hold_rigid_parts(self, rigid_fraction: Callable[[Tensor], Tensor]) -> None:
        """Keeps glasses and other rigid parts out of the deformation.

        Args:
            rigid_fraction: how rigid the face is at positions [N, 2], head space, cm, of the frontal plane: [N], from
                0, which moves with the landmarks, to 1, which moves with the head.
        """
        return None

    def lip_coordinates(self, offsets: Tensor) -> Tensor:
        """Lip coordinates [T, audio_width] whose deformation comes closest to measured offsets.

        Args:
            offsets: landmark offsets [T, 68, 2], cm.

        Raises:
            ValueError: the head's deformation does not depend on lip coordinates.
        """
        raise ValueError("this head has no lip coordinates")

    def wants_occupancy(self, step: int) -> bool:
        """Whether ``update_occupancy`` is due after optimisation step ``step``."""
        return False

    def update_occupancy(self, update: OccupancyUpdate) -> None:
        """Moves the head's knowledge of empty space towards its field."""
        return None

    def after_step(self, step: int, steps: int, generator: torch.Generator) -> Rearrangement | None:
        """Changes the number of primitives where it is due; called after every optimisation step.

        Args:
            step: number of the step, from 0.
            steps: of the whole training.
            generator: draws where new primitives lie.
        """
        return None

    def primitives(self) -> tuple[Tensor, Tensor] | None:
        """Centres [N, 3], head space, cm, and opacities [N] of a head that consists of primitives, for priors on the
        shape; None for others."""
        return None

    def posed_gaussians(self, condition: Tensor, view: Tensor, deformation: Tensor | None) -> PosedGaussians | None:
        """The Gaussians of one frame, for export; None for heads that consist of something else.

        Args:
            condition: [1, C], e_in.
            view: [1, 3].
            deformation: of one frame, or None for the face at rest.
        """
        return None

    def regularisers(self) -> dict[str, Tensor]:
        """Weighted prior losses by name. Training adds them in every fourth step; the weights include that factor."""
        return {}

    def density(self, positions: Tensor, condition: Tensor) -> Tensor | None:
        """Density [N], per cm, at positions, for priors on the shape; None for heads that have none.

        Args:
            positions: [N, 3], head space, cm.
            condition: [1, C], e_in of one frame.
        """
        return None

    def parameter_groups(self) -> list[ParameterGroup]:
        """Parameters with a rate of their own; all others learn at the rate of the networks."""
        return []

    def skip_empty(self, conditions: Tensor) -> str:
        """Renders from now on with few samples, only where the field is not empty.

        Args:
            conditions: [M, C], e_in of frames that stand for everything that will be rendered.

        Returns:
            One line that describes the sampling.

        Raises:
            UsageError: the head has no such mode.
        """
        raise UsageError("this head always skips empty space.", "Leave --sampling away.")
