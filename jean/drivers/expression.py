"""Expression inputs: one class per kind of expression vector, for training and rendering.

A kind defines how vectors are computed from a clip, which sources ``render`` accepts, whether the motion of the face is
measured or predicted, and whether speech alone drives the mouth. To add a kind, add a class and list it in
``EXPRESSION_INPUTS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from jean.checkpoint import Checkpoint
from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.drivers.emotion import emotion_track
from jean.drivers.expression_input import ExpressionInput, ExpressionRequest, ExpressionTrack
from jean.drivers.eyes import eye_track
from jean.drivers.offsets import face_offsets
from jean.drivers.resampling import VIDEO_FPS
from jean.drivers.slow import window_mean
from jean.errors import ArtefactError, InputError
from jean.features import registry
from jean.features.base import largest
from jean.media import is_sequence, read_frames
from jean.models.expression_transformer import ExpressionTransformer
from jean.models.stored import load_expression_transformer
from jean.progress import Progress
from jean.weights.provide import provide


class Coefficients(ExpressionInput):
    """All expression coefficients of the tracker: the paper's variant (b), and NeRFace.

    Args:
        description: description of the coefficients, as stored in clips: name, version, names, and upper-face flags.
        tracker: name and version of the tracker.
    """

    kind = "all"
    audio_drives_mouth = False

    def __init__(self, description: Mapping[str, Any], tracker: Mapping[str, Any]):
        self.coefficients, self.tracker = dict(description), dict(tracker)

    @classmethod
    def for_training(cls, clips: Sequence[Clip], request: ExpressionRequest) -> Coefficients:  # noqa: D102
        return cls(clips[0].meta.expression.to_json(), clips[0].meta.tracker.to_json())

    @classmethod
    def of_run(cls, checkpoint: Checkpoint) -> Coefficients:  # noqa: D102
        meta = checkpoint.payload["meta"]
        return cls(meta["expression"], meta["tracker"])

    def selected(self) -> np.ndarray:
        """Mask of the coefficients that the vector contains, bool, one per coefficient."""
        return np.ones(len(self.coefficients["upper"]), bool)

    def coefficient_names(self) -> list[str]:  # noqa: D102
        return [str(name) for name, used in zip(self.coefficients["names"], self.selected(), strict=True) if used]

    def frame_vectors(self, clip: Clip) -> np.ndarray:  # noqa: D102
        return clip.arrays["expression"][:, self.selected()]

    def track(self, source: Path, progress: Progress) -> ExpressionTrack:
        """Reads the expression of a prepared clip, or tracks a video; see ``ExpressionInput.track``."""
        if source.is_file() or is_sequence(source):
            frame_vectors = self._tracked(source, progress)[:, self.selected()]
            return ExpressionTrack(window_mean(frame_vectors, VIDEO_FPS, self.window_s), None, VIDEO_FPS)
        clip = Clip.open(source, pictures=False)
        clip.require(ClipSpec.of_run({"expression": self.coefficients}, "coefficients"))
        return ExpressionTrack(self.vectors(clip), face_offsets(clip), clip.fps, eye_track(clip))

    def _tracked(self, video: Path, progress: Progress) -> np.ndarray:
        """All coefficients of a video, float32 [T, all]; gaps are interpolated."""
        provide(*registry.weights_of("tracker", self.tracker["name"]), progress)
        extractor = registry.create("tracker", self.tracker["name"], video=video, device="cpu")
        if list(extractor.expression_names) != list(self.coefficients["names"]):
            raise ArtefactError(
                f"the tracker gives other expression coefficients for {video} than the run was trained with.",
                f"The run needs tracker {self.tracker['name']} {self.tracker['version']}.",
            )
        rows: list[np.ndarray] = []
        with progress.task(f"track {video.name}", None) as advance:
            for faces in extractor.track(read_frames(video, fps=VIDEO_FPS)):
                face = largest(faces)
                rows.append(np.full(len(self.coefficients["names"]), np.nan) if face is None else face.expression)
                advance(1)
        track = np.asarray(rows, np.float32)
        valid = ~np.isnan(track).any(1)
        if not valid.any():
            raise InputError(f"{video} shows no face.", "Choose another --expression.")
        for column in track.T:
            column[:] = np.interp(np.arange(len(track)), np.flatnonzero(valid), column[valid])
        return track


class UpperFace(Coefficients):
    """Coefficients of the upper face; speech alone drives the lips."""

    kind = "upper"
    audio_drives_mouth = True

    def selected(self) -> np.ndarray:  # noqa: D102
        return np.asarray(self.coefficients["upper"], bool)


class EmotionFeatures(ExpressionInput):
    """Features of an emotion network, mapped by a small MLP: variants (a) and (c) of Table 2.

    Args:
        description: description of the features: name, version, width, network.
    """

    kind = "emotion"
    audio_drives_mouth = False
    measures_offsets = False

    def __init__(self, description: Mapping[str, Any]):
        self.features = dict(description)

    @classmethod
    def for_training(cls, clips: Sequence[Clip], request: ExpressionRequest) -> EmotionFeatures:  # noqa: D102
        name = request.emotion_features or next(iter(clips[0].meta.emotion or {}), None)
        if name is None:
            raise InputError(f"{clips[0].folder} has no emotion features.", "Prepare it with --emotion-features NAME.")
        return cls(emotion_track(clips[0], name)[1])

    @classmethod
    def of_run(cls, checkpoint: Checkpoint) -> EmotionFeatures:  # noqa: D102
        return cls(checkpoint.payload["meta"]["expression_source"]["emotion"])

    def frame_vectors(self, clip: Clip) -> np.ndarray:  # noqa: D102
        clip.require(ClipSpec.of_run({"emotion": self.features}, "emotion"))
        return self._embedded(clip.emotion_track(self.features["name"]))

    def _embedded(self, track: np.ndarray) -> np.ndarray:
        """Expression vectors [T, E] of emotion features [T, D]."""
        return track

    def track(self, source: Path, progress: Progress) -> ExpressionTrack:  # noqa: D102
        if not source.is_dir():
            raise InputError(
                f"{source} is not a prepared clip, and this run takes its expression from {self.features['name']}.",
                "Prepare the video first, with the features that the run was trained with.",
            )
        clip = Clip.open(source, pictures=False)
        return ExpressionTrack(self.vectors(clip), None, clip.fps, eye_track(clip))

    def encoder(self, width: int, vector_width: int) -> str:
        """The small MLP of Table 2."""
        return "mlp"

    def description(self) -> dict[str, Any]:  # noqa: D102
        return super().description() | {"emotion": self.features}


class LearnedEmbedding(EmotionFeatures):
    """e_e of the expression transformer (section 3.2). A frame's e_e is element ω/2 of its window (section 8.4.2).

    Args:
        description: description of the emotion features.
        model: the trained transformer.
        arguments: arguments of the transformer, to be stored.
        variant: "jean", or "d" for a transformer on the tracker's coefficients.
        weights_hash: hash of the transformer's weights; None if it is not known.
    """

    kind = "transformer"
    audio_drives_mouth = True
    needs_run = True

    def __init__(
        self,
        description: Mapping[str, Any],
        model: ExpressionTransformer,
        arguments: Mapping[str, Any],
        variant: str,
        weights_hash: str | None,
    ):
        super().__init__(description)
        self.model, self.arguments, self.variant, self._hash = model, dict(arguments), variant, weights_hash

    @classmethod
    def for_training(cls, clips: Sequence[Clip], request: ExpressionRequest) -> LearnedEmbedding:  # noqa: D102
        assert request.run is not None  # the configuration checks ``needs_run``
        stored = load_expression_transformer(Path(request.run), request.warn)
        variant = stored.meta["variant"]
        if request.variant is not None and variant != request.variant:
            raise ArtefactError(
                f"{request.run} is of variant {variant}; the method needs variant {request.variant}.",
                "Train the expression transformer on other features.",
            )
        if not stored.meta["emotion"].get("network", True):
            request.warn("the expression does not come from an emotion network: this is the paper's variant (d).")
        return cls(stored.meta["emotion"], stored.model, stored.meta["model"], variant, stored.hash)

    @classmethod
    def of_run(cls, checkpoint: Checkpoint) -> LearnedEmbedding:  # noqa: D102
        source = checkpoint.payload["meta"]["expression_source"]
        model = ExpressionTransformer(**source["model"])
        model.load_state_dict(checkpoint.module_state("expression_transformer"))
        return cls(source["emotion"], model.eval(), source["model"], source["variant"], None)

    def _embedded(self, track: np.ndarray) -> np.ndarray:
        return self.model.embed_track(track)[1]

    def encoder(self, width: int, vector_width: int) -> str:
        """No map if e_e already has the width of its part of e_in."""
        return "none" if vector_width == width else "linear"

    def description(self) -> dict[str, Any]:  # noqa: D102
        return super().description() | {"model": self.arguments, "variant": self.variant}

    def modules(self) -> dict[str, nn.Module]:  # noqa: D102
        return {"expression_transformer": self.model}

    @property
    def hash(self) -> str | None:  # noqa: D102
        return self._hash


class NoExpression(ExpressionInput):
    """No expression: the vector is a constant zero (AD-NeRF)."""

    kind = "none"
    audio_drives_mouth = True
    measures_offsets = False
    takes_source = False

    @classmethod
    def for_training(cls, clips: Sequence[Clip], request: ExpressionRequest) -> NoExpression:  # noqa: D102
        return cls()

    @classmethod
    def of_run(cls, checkpoint: Checkpoint) -> NoExpression:  # noqa: D102
        return cls()

    def frame_vectors(self, clip: Clip) -> np.ndarray:  # noqa: D102
        return np.zeros((clip.frame_count, 1), np.float32)

    def track(self, source: Path, progress: Progress) -> ExpressionTrack:  # noqa: D102
        clip = Clip.open(source, pictures=False)
        return ExpressionTrack(self.vectors(clip), None, clip.fps)


EXPRESSION_INPUTS: dict[str, type[ExpressionInput]] = {
    each.kind: each for each in (UpperFace, Coefficients, EmotionFeatures, LearnedEmbedding, NoExpression)
}
