"""The whole person: speech and expression in, pixels out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jean.kernels.dispatch import Composite, Seen, camera_rays, on_host, over, use_native
from jean.models.audio_encoder import AudioAttention, AudioEncoder
from jean.models.head.base import Box, FastHead, make_head
from jean.models.head.torso import TorsoLayer
from jean.models.pose import pose_vectors, view_directions


@dataclass(frozen=True)
class Frames:
    """What drives F frames.

    Attributes:
        camera_to_world: [F, 4, 4], head pose.
        focal_px: [F], focal length in the pixels of the picture.
        center_px: [F, 2], principal point.
        audio: [F, window, D], audio windows; [F, N, window, D] where a model smooths over N neighbours
            (``jean.drivers.audio_windows.neighbour_rows``); None where ``lips`` decides every row.
        expression: [F, E], expression coefficients.
        offsets: [F, 68, 2], what the expression source's landmarks have beside its rigid head, cm
            (``jean.drivers.lips.face_offsets``); where speech decides the lips, only the upper face's are read.
        lips: [F, audio_width], the audio part of e_in, which replaces the embedding of ``audio``; NaN in rows where
            ``audio`` decides.
        code: [F, K], what a training frame has that no driver explains; None stands for zeros, as in
            every render.
    """

    camera_to_world: Tensor
    focal_px: Tensor
    center_px: Tensor
    audio: Tensor | None
    expression: Tensor
    offsets: Tensor
    lips: Tensor | None = None
    code: Tensor | None = None


@dataclass(frozen=True)
class Pixels:
    """What R pixels show.

    Attributes:
        head: the head's composites (the last is the result; earlier ones are the coarse pass).
        torso_rgb: [R, 3].
        torso_opacity: [R].
    """

    head: list[Composite]
    torso_rgb: Tensor
    torso_opacity: Tensor

    def over(self, background: Tensor, level: int = -1) -> Tensor:
        """rgb [R, 3]: the head over the torso over ``background`` [R, 3]."""
        behind = over(self.torso_opacity[:, None] * self.torso_rgb, self.torso_opacity, background)
        return over(self.head[level].channels, self.head[level].opacity, behind)

    def opacity(self) -> Tensor:
        """[R]: of head and torso together."""
        head = self.head[-1].opacity
        return head + (1 - head) * self.torso_opacity


class TalkingHead(nn.Module):
    """Audio encoder, expression encoder, head, torso.

    The field is undefined where training has not been: limit drivers of other people first (``jean.drivers.support``).

    Args:
        preset: "fast" or "paper".
        box: the head's volume, head space, cm.
        audio_features: D; audio_window: rows in a window.
        expression_features: E, coefficients used.
        audio_width: width of the audio part of e_in; expression_width: of the expression part.
        dropout: in the audio encoder while training.
        code_width: K, width of the frames' codes (0: none, as in the paper).
        shape: [68][3], the person's rigid head, head space, cm.
        spoken: whether speech decides the lower face.
        audio_scale: e_a is multiplied by it before its projection: Eq. 2 compares directions and leaves lengths free.
        audio_attention: N, neighbouring frames over which e_a is smoothed, as AD-NeRF does (0: not at all).
        expression_map: from the expression vector to its part of e_in: "linear"; "mlp", the thin MLP of Table 2's
            (a) and (c); "none", the vector as it is (e_e of the expression transformer, section 3.3).
    """

    expression_mean: Tensor
    expression_spread: Tensor
    pose_mean: Tensor
    pose_spread: Tensor
    smoothing: Tensor

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
        code_width: int = 0,
        spoken: bool = True,
        audio_scale: float = 1.0,
        audio_attention: int = 0,
        expression_map: str = "linear",
    ):
        super().__init__()
        # e_a is 64-d (section 3.1); a projection brings it to the width that F_Θ takes (docs/method.md)
        self.audio_encoder = AudioEncoder(audio_features, audio_window, 64, dropout)
        self.audio_projection = nn.Linear(64, audio_width)
        self.audio_scale = audio_scale
        self.audio_attention = AudioAttention(64, audio_attention) if audio_attention else None
        if audio_attention:
            self.register_buffer("smoothing", torch.zeros((), dtype=torch.bool))  # whether training has come to it
        self.expression_encoder = _expression_map(expression_map, expression_features, expression_width)
        self.code_width = code_width
        self.audio_width = audio_width
        self.head = make_head(preset, (audio_width, expression_width, code_width), box, shape, spoken)
        self.torso = TorsoLayer()
        self.register_buffer("expression_mean", torch.zeros(expression_features))
        self.register_buffer("expression_spread", torch.ones(expression_features))
        self.register_buffer("pose_mean", torch.zeros(6))
        self.register_buffer("pose_spread", torch.ones(6))

    def audio_embedding(self, audio: Tensor) -> Tensor:
        """The audio part of e_in, [F, audio_width], from windows as ``Frames`` has them.

        Windows without neighbours stand for frames whose neighbours are like them: smoothing leaves those alone.
        """
        if self.audio_attention is None or audio.ndim == 3:
            embedding = self.audio_encoder(audio)
        elif not on_host(self.smoothing):
            embedding = self.audio_encoder(audio[:, audio.shape[1] // 2])
        else:
            embedding = self.audio_attention(self.audio_encoder(audio.flatten(0, 1)).unflatten(0, audio.shape[:2]))
        return self.audio_projection(self.audio_scale * embedding)

    def condition(self, frames: Frames) -> Tensor:
        """e_in [F, audio_width + expression_width + code_width]."""
        if frames.audio is None:
            assert frames.lips is not None
            audio = frames.lips
        else:
            audio = self.audio_embedding(frames.audio)
            if frames.lips is not None:
                audio = torch.where(torch.isnan(frames.lips), audio, frames.lips)
        expression = (frames.expression - self.expression_mean) / self.expression_spread
        parts = [audio, self.expression_encoder(expression)]
        if self.code_width:
            parts.append(audio.new_zeros(len(audio), self.code_width) if frames.code is None else frames.code)
        return torch.cat(parts, -1)

    def bend(self, frames: Frames, condition: Tensor) -> Tensor | None:
        """Motion of the face [F, cells, 2], cm, for ``trace``; None where the head has no warp."""
        if not isinstance(self.head, FastHead):
            return None
        warp = self.head.warp
        return warp(frames.offsets[:, warp.points].flatten(1), condition[:, : self.audio_width])

    def view(self, frames: Frames, pose: Tensor) -> Tensor:
        """d of Eq. 5, [F, 3]: the head pose (section 8.4.2), in the form that the head was built for."""
        if isinstance(self.head, FastHead):
            return pose[:, 3:]  # standardised slants: yaw, roll, pitch
        return view_directions(frames.camera_to_world)

    def seen(self, frames: Frames, condition: Tensor) -> Seen | None:
        """The one frame of ``frames`` as the kernels paint it; None where ``trace`` has to.

        Args:
            condition: its e_in.
        """
        head = self.head
        if not isinstance(head, FastHead) or condition.is_cuda or condition.dtype != torch.float32:
            return None
        if not use_native(head.backend, condition, "picture"):
            return None
        pose = self._pose(frames)
        field = head.field.of_frame(condition, self.view(frames, pose), self.bend(frames, condition), head.precision)
        grid = head.grid
        return Seen(field, grid.sampling, grid.low, grid.high, self.torso.of_pose(pose[0]), head.samples, head.thick)

    def _pose(self, frames: Frames) -> Tensor:
        # three spreads: what lies further out was never seen, and a line must not be drawn on for ever
        return ((pose_vectors(frames.camera_to_world) - self.pose_mean) / self.pose_spread).clamp(-3, 3)

    def trace(
        self,
        frames: Frames,
        pixels: Tensor,
        frame: Tensor,
        size_px: int,
        generator: torch.Generator | None = None,
        condition: Tensor | None = None,
    ) -> Pixels:
        """What pixels [R, 2] (px) of frames ``frame`` [R] show.

        Args:
            frames: the F frames; condition: their e_in where it is already known.
            size_px: side of the picture.
            generator: jitter while training, else None.
        """
        # half precision is for the field's networks: a ray's direction, or what is told once a frame, needs all digits
        with torch.autocast(pixels.device.type, enabled=False):
            if condition is None:
                condition = self.condition(frames)
            origins, directions = camera_rays(
                pixels, frames.focal_px[frame], frames.center_px[frame], frames.camera_to_world[frame]
            )
            pose = self._pose(frames)
            bend, view = self.bend(frames, condition), self.view(frames, pose)
            torso_rgb, torso_opacity = self.torso(pixels / size_px, pose, frame)
        head = self.head.trace(origins, directions, condition, view, frame, generator, bend)
        return Pixels(head, torso_rgb, torso_opacity)


def _expression_map(kind: str, features: int, width: int) -> nn.Module:
    if kind == "mlp":
        return nn.Sequential(nn.Linear(features, 128), nn.LeakyReLU(0.02), nn.Linear(128, width))
    return nn.Identity() if kind == "none" else nn.Linear(features, width)
