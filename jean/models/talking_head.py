"""The talking head: speech, expression and pose in, pixels out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jean.kernels.backend import Backend
from jean.kernels.dispatch import Composite, cached_list, over
from jean.models.audio_encoder import AudioAttention, AudioEncoder
from jean.models.head.base import Box, CameraPixels, Head, HeadArguments, PaintsPixels, PosedGaussians
from jean.models.head.registry import HEADS
from jean.models.head.torso import TorsoLayer
from jean.models.pose import pose_vectors
from jean.models.run_meta import head_arguments

AUDIO_EMBEDDING_WIDTH = 64  # of e_a, section 3.1
EYE_CONCEPTS = 6  # directions of the expression vector that the eyes' own inputs replace, at most
OPAQUE = 0.998  # opacity of a head behind which no 8-bit image shows the torso
# A crop has ten times as many pixels of the torso as a batch of rays: its gradient would take a fifth of a step
TORSO_STRIDE = 3
POSE_LIMIT = 3.0  # standard deviations: the torso and the shading must not extrapolate linearly without end

# Names in checkpoints of version 0.1: (old prefix, new prefix); None for what is no longer stored.
_OLD_NAMES: tuple[tuple[str, str | None], ...] = (
    ("expression_spread", "expression_std"),
    ("expression_range", None),
    ("pose_spread", "pose_std"),
    ("head.warp.", "head.face_deformation."),
    ("head.grid.", "head.occupancy."),
)


@dataclass(frozen=True)
class Frames:
    """The drivers of F frames.

    Attributes:
        camera_to_world: head poses [F, 4, 4].
        focal_px: focal length in pixels of the rendered frame [F].
        center_px: principal point [F, 2].
        audio: audio windows [F, window, D]; [F, N, window, D] for a head that smooths over N neighbouring frames
            (``jean.drivers.audio_windows.neighbour_rows``); None where ``lips`` decides every row.
        expression: expression vectors [F, E].
        offsets: landmark offsets from the rigid head [F, 68, 2], cm (``jean.drivers.offsets.face_offsets``). Where
            speech decides the lips, the head reads only those of the upper face.
        lips: the audio part of e_in [F, audio_width], which replaces the embedding of ``audio``; NaN in rows where
            ``audio`` decides.
        lip_motion: [F, audio_width], lips that move the landmarks where these go further than the person has shown;
            None for the audio part of e_in.
        latent: latent codes of training frames [F, K], for what no driver explains; None for zeros, as in rendering.
        torso_camera_to_world: poses [F, 4, 4] within the support, which torso and shading follow where the head turns
            further; None for ``camera_to_world``.
        eyes: eye values [F, 4], see ``jean.drivers.eyes.EYE_VALUES``; None for the person's mean, and for heads without
            them.
    """

    camera_to_world: Tensor
    focal_px: Tensor
    center_px: Tensor
    audio: Tensor | None
    expression: Tensor
    offsets: Tensor
    lips: Tensor | None = None
    lip_motion: Tensor | None = None
    latent: Tensor | None = None
    torso_camera_to_world: Tensor | None = None
    eyes: Tensor | None = None

    @property
    def supported_poses(self) -> Tensor:
        """The poses [F, 4, 4] that torso and shading follow."""
        return self.camera_to_world if self.torso_camera_to_world is None else self.torso_camera_to_world


@dataclass(frozen=True)
class Pixels:
    """The content of R pixels.

    Attributes:
        head: the head's composites; the last is the result, earlier ones are the coarse pass.
        torso_rgb: [R, 3], in [0, 1].
        torso_opacity: [R], in [0, 1].
    """

    head: list[Composite]
    torso_rgb: Tensor
    torso_opacity: Tensor

    def over(self, background: Tensor, level: int = -1) -> Tensor:
        """rgb [R, 3] of the head over the torso over ``background`` [R, 3]."""
        behind = over(self.torso_opacity[:, None] * self.torso_rgb, self.torso_opacity, background)
        return over(self.head[level].channels, self.head[level].opacity, behind)

    def opacity(self) -> Tensor:
        """Opacity [R] of head and torso together."""
        head = self.head[-1].opacity
        return head + (1 - head) * self.torso_opacity


class TalkingHead(nn.Module):
    """Audio encoder, expression encoder, head, torso.

    The field is undefined where training has not been: limit foreign drivers first (``jean.drivers.support``).

    Args:
        preset: name of the head, see ``jean.models.head.registry.HEADS``.
        box: low and high corners of the head's volume, head space, cm.
        audio_features: D, values per row of an audio window.
        audio_window: rows per audio window.
        expression_features: E, values of the expression vector.
        audio_width: width of the audio part of e_in.
        expression_width: width of the expression part of e_in.
        dropout: of the audio encoder while training.
        shape: the person's rigid head [68][3], head space, cm.
        latent_width: K, width of the training frames' latent codes; 0 for none, as in the paper.
        audio_drives_mouth: whether speech alone decides the lower face.
        audio_scale: factor on e_a before its projection: Eq. 2 compares directions and leaves lengths free.
        audio_attention: N, neighbouring frames over which e_a is smoothed, as in AD-NeRF; 0 for none.
        expression_map: map from the expression vector to its part of e_in: "linear"; "mlp", the thin MLP of Table 2's
            (a) and (c); "none", the vector as it is (e_e of the expression transformer, section 3.3).
        size_px: side of the training frames.
        eye_width: 4 for a head that takes the eyes as inputs of their own (``Frames.eyes``), which are then taken
            out of the expression vector; 0 for none, as in the paper.
        torso: whether a layer behind the head shows the torso.
    """

    expression_mean: Tensor
    expression_std: Tensor
    pose_mean: Tensor
    pose_std: Tensor
    smoothing: Tensor
    eye_mean: Tensor
    eye_std: Tensor
    eye_read: Tensor
    eye_write: Tensor
    head: Head

    def __init__(
        self,
        *,
        preset: str,
        box: Box,
        audio_features: int,
        audio_window: int,
        expression_features: int,
        audio_width: int,
        expression_width: int,
        dropout: float,
        shape: list[list[float]],
        latent_width: int = 0,
        audio_drives_mouth: bool = True,
        audio_scale: float = 1.0,
        audio_attention: int = 0,
        expression_map: str = "linear",
        size_px: int = 256,
        eye_width: int = 0,
        torso: bool = True,
    ):
        super().__init__()
        # e_a has 64 values (section 3.1); a projection brings it to the width that F_Θ takes (docs/method.md)
        self.audio_encoder = AudioEncoder(audio_features, audio_window, AUDIO_EMBEDDING_WIDTH, dropout)
        self.audio_projection = nn.Linear(AUDIO_EMBEDDING_WIDTH, audio_width)
        self.audio_scale = audio_scale
        self.audio_attention = AudioAttention(AUDIO_EMBEDDING_WIDTH, audio_attention) if audio_attention else None
        if audio_attention:
            self.register_buffer("smoothing", torch.zeros((), dtype=torch.bool))  # whether training has switched it on
        self.expression_encoder = _expression_map(expression_map, expression_features, expression_width)
        self.latent_width = latent_width
        self.audio_width = audio_width
        self.eye_width = eye_width
        widths = (audio_width, expression_width, latent_width)
        arguments = HeadArguments(widths, box, shape, audio_drives_mouth, size_px, eye_width)
        self.head = HEADS.load(preset)(arguments)
        self.torso = TorsoLayer() if torso else None
        self.register_buffer("expression_mean", torch.zeros(expression_features))
        self.register_buffer("expression_std", torch.ones(expression_features))
        self.register_buffer("pose_mean", torch.zeros(6))
        self.register_buffer("pose_std", torch.ones(6))
        if eye_width:
            self.register_buffer("eye_mean", torch.zeros(eye_width))
            self.register_buffer("eye_std", torch.ones(eye_width))
            # of the standardised expression vector: what the eyes' own inputs say already (``jean.drivers.erasure``)
            self.register_buffer("eye_read", torch.zeros(expression_features, EYE_CONCEPTS))
            self.register_buffer("eye_write", torch.zeros(expression_features, EYE_CONCEPTS))
        self.register_load_state_dict_pre_hook(_rename_old_names)

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> TalkingHead:
        """A head from the arguments that a checkpoint stores, also one of version 0.1."""
        return cls(**head_arguments(arguments))

    @property
    def device(self) -> torch.device:
        """Where the head's tensors are."""
        return self.expression_mean.device

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations of ``jean.kernels.backend.OPERATIONS`` that head and torso use."""
        return tuple(dict.fromkeys((*self.head.operations, *(self.torso.operations if self.torso else ()))))

    def use(self, backend: Backend) -> None:
        """Uses a backend that was resolved for ``operations``."""
        self.head.use(backend)
        if self.torso is not None:
            self.torso.backend = backend

    def audio_embedding(self, audio: Tensor) -> Tensor:
        """The audio part of e_in [F, audio_width], from audio windows as ``Frames`` has them.

        Windows without neighbours stand for frames whose neighbours are equal, which smoothing leaves as they are.
        """
        if self.audio_attention is None or audio.ndim == 3:
            embedding = self.audio_encoder(audio)
        elif not cached_list(self.smoothing):
            embedding = self.audio_encoder(audio[:, audio.shape[1] // 2])
        else:
            embedding = self.audio_attention(self.audio_encoder(audio.flatten(0, 1)).unflatten(0, audio.shape[:2]))
        return self.audio_projection(self.audio_scale * embedding)

    def condition(self, frames: Frames) -> Tensor:
        """e_in [F, audio_width + expression_width + eye_width + latent_width]."""
        if frames.audio is None:
            assert frames.lips is not None
            audio = frames.lips
        else:
            audio = self.audio_embedding(frames.audio)
            if frames.lips is not None:
                audio = torch.where(torch.isnan(frames.lips), audio, frames.lips)
        expression = (frames.expression - self.expression_mean) / self.expression_std
        if self.eye_width:
            expression = expression - expression @ self.eye_read @ self.eye_write.T
        parts = [audio, self.expression_encoder(expression)]
        if self.eye_width:
            eyes = audio.new_zeros(len(audio), self.eye_width)
            parts.append(eyes if frames.eyes is None else (frames.eyes - self.eye_mean) / self.eye_std)
        if self.latent_width:
            latent = frames.latent
            parts.append(audio.new_zeros(len(audio), self.latent_width) if latent is None else latent)
        return torch.cat(parts, -1)

    def deformation(self, frames: Frames, condition: Tensor) -> Tensor | None:
        """Motion of the face for the head, see ``Head.deformation``.

        Args:
            frames: F frames.
            condition: their e_in.
        """
        lips = condition[:, : self.audio_width] if frames.lip_motion is None else frames.lip_motion
        return self.head.deformation(frames.offsets, lips)

    def frame_scene(self, frames: Frames, condition: Tensor) -> PaintsPixels | None:
        """One frame as a fused rendering kernel takes it; None where ``trace`` has to render.

        Args:
            frames: one frame.
            condition: its e_in.
        """
        torso, pose = self.torso, self._pose(frames)
        if torso is None:
            return None
        view = self.head.view(frames.supported_poses, pose)
        deformation = self.deformation(frames, condition)
        return self.head.frame_scene(condition, view, deformation, lambda: torso.frame_torso(pose[0]))

    @torch.no_grad()
    def posed_gaussians(self, frames: Frames, at_rest: bool = False) -> PosedGaussians | None:
        """The Gaussians of one frame; None for a head that consists of something else.

        Args:
            frames: one frame.
            at_rest: whether landmarks leave the face as it is in canonical space.
        """
        condition = self.condition(frames)
        deformation = None if at_rest else self.deformation(frames, condition)
        return self.head.posed_gaussians(
            condition, self.head.view(frames.supported_poses, self._pose(frames)), deformation
        )

    def _pose(self, frames: Frames) -> Tensor:
        """Standardised pose vectors [F, 6]."""
        return ((pose_vectors(frames.supported_poses) - self.pose_mean) / self.pose_std).clamp(-POSE_LIMIT, POSE_LIMIT)

    def trace(
        self,
        frames: Frames,
        pixels: Tensor,
        frame: Tensor,
        size_px: int,
        generator: torch.Generator | None = None,
        condition: Tensor | None = None,
        with_torso: Tensor | None = None,
    ) -> Pixels:
        """The content of R pixels.

        Args:
            frames: F frames.
            pixels: pixel centres [R, 2], px.
            frame: int [R], the frame of each pixel.
            size_px: side of the frames.
            generator: draws the jitter of samples while training; None without jitter.
            condition: e_in of the frames, where it is known already.
            with_torso: bool [R], pixels whose torso is computed; that of the others is transparent. None: all.
        """
        # half precision is for the field's networks: ray directions and per-frame inputs need all digits
        with torch.autocast(pixels.device.type, enabled=False):
            if condition is None:
                condition = self.condition(frames)
            camera = CameraPixels(pixels, frame, frames.camera_to_world, frames.focal_px, frames.center_px)
            pose = self._pose(frames)
            deformation, view = self.deformation(frames, condition), self.head.view(frames.supported_poses, pose)
        head = self.head.draw(camera, condition, view, generator, deformation)
        with torch.autocast(pixels.device.type, enabled=False):
            if self.head.draws_pictures and generator is None and not torch.is_grad_enabled():
                with_torso = head[-1].opacity < OPAQUE
                if self.torso is not None and len(pose) == 1:
                    with_torso &= self.torso.shows(pixels / size_px, pose)
            torso_rgb, torso_opacity = self._torso(pixels / size_px, pose, frame, with_torso, generator)
        return Pixels(head, torso_rgb, torso_opacity)

    def _torso(
        self,
        coordinates: Tensor,
        pose: Tensor,
        frame: Tensor,
        where: Tensor | None,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """Colours [R, 3] and opacities [R] of the torso at image positions [R, 2]; zeros where not ``where`` [R].

        In training, every ``TORSO_STRIDE``-th pixel has a gradient, from a random one on: crops as large as the frame
        would always have it at the same pixels, and the others would learn nothing.
        """
        if self.torso is None:
            return coordinates.new_zeros(len(coordinates), 3), coordinates.new_zeros(len(coordinates))
        if where is None:
            return self.torso(coordinates, pose, frame)
        rows = where.nonzero()[:, 0]
        rgb, opacity = coordinates.new_zeros(len(where), 3), coordinates.new_zeros(len(where))
        if not torch.is_grad_enabled():
            rgb[rows], opacity[rows] = self.torso(coordinates[rows], pose, frame[rows])
            return rgb, opacity
        chosen = 0
        if generator is not None:
            chosen = int(torch.randint(TORSO_STRIDE, (), generator=generator, device=generator.device))
        for first in range(TORSO_STRIDE):
            own = rows[first::TORSO_STRIDE]
            with torch.set_grad_enabled(first == chosen):
                own_rgb, own_opacity = self.torso(coordinates[own], pose, frame[own])
            rgb, opacity = rgb.index_copy(0, own, own_rgb), opacity.index_copy(0, own, own_opacity)
        return rgb, opacity


def _expression_map(kind: str, features: int, width: int) -> nn.Module:
    if kind == "mlp":
        return nn.Sequential(nn.Linear(features, 128), nn.LeakyReLU(0.02), nn.Linear(128, width))
    return nn.Identity() if kind == "none" else nn.Linear(features, width)


def _rename_old_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Gives the tensors of a checkpoint of version 0.1 their names of today."""
    for key in list(state):
        name = key.removeprefix(prefix)
        for old, new in _OLD_NAMES:
            if name.startswith(old):
                value = state.pop(key)
                if new is not None:
                    state[prefix + new + name.removeprefix(old)] = value
