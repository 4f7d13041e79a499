"""The contract of expression inputs: what a kind of expression vector offers to training and rendering."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn

from jean.checkpoint import Checkpoint
from jean.clips.clip import Clip
from jean.drivers.eyes import EyeTrack
from jean.drivers.slow import window_mean
from jean.progress import Progress


@dataclass(frozen=True)
class ExpressionTrack:
    """Expression of a source, per frame.

    Attributes:
        vectors: expression vectors [T, E].
        offsets: landmark offsets from the source's own rigid head, [T, 68, 2], cm; None where they are not measured.
        fps: frames per second.
        eyes: gaze and lids; None where no landmarks are known.
    """

    vectors: np.ndarray
    offsets: np.ndarray | None
    fps: float
    eyes: EyeTrack | None = None


@dataclass(frozen=True)
class ExpressionRequest:
    """Options of a training for its expression input.

    Attributes:
        run: run folder of ``train-expr``, for kinds that need one.
        emotion_features: name of the emotion features; None takes the first that the clips have.
        variant: required variant of the transformer, "jean" or "d"; None for any.
        warn: receives warnings.
    """

    run: Path | None = None
    emotion_features: str | None = None
    variant: str | None = None
    warn: Callable[[str], None] = lambda message: None


class ExpressionInput(ABC):
    """One kind of expression vector.

    Attributes:
        kind: name in configurations and run folders.
        audio_drives_mouth: whether speech alone drives the lower face, in methods with speech.
        measures_offsets: whether the motion of the face is measured from landmarks. Otherwise it is predicted from the
            vector, so that the head has no inputs besides speech and expression vector.
        needs_run: whether the kind needs a run of ``train-expr``.
        takes_source: whether ``render`` accepts an expression source.
        window_s: seconds over which the vectors are averaged around each frame, alike in training and rendering; 0 for
            none, as in the paper.
    """

    kind: ClassVar[str]
    audio_drives_mouth: ClassVar[bool]
    measures_offsets: ClassVar[bool] = True
    needs_run: ClassVar[bool] = False
    takes_source: ClassVar[bool] = True
    window_s: float = 0.0

    @classmethod
    @abstractmethod
    def for_training(cls, clips: Sequence[Clip], request: ExpressionRequest) -> ExpressionInput:
        """The input for a training on ``clips``.

        Raises:
            InputError: the clips lack its features.
            ArtefactError: the run of ``train-expr`` has another variant or other features.
        """

    @classmethod
    @abstractmethod
    def of_run(cls, checkpoint: Checkpoint) -> ExpressionInput:
        """The expression input of a trained head."""

    @abstractmethod
    def frame_vectors(self, clip: Clip) -> np.ndarray:
        """Expression vectors of the frames of a prepared clip, float32 [T, E], before ``window_s``."""

    def vectors(self, clip: Clip) -> np.ndarray:
        """Expression vectors of a prepared clip, float32 [T, E]."""
        return window_mean(self.frame_vectors(clip), clip.fps, self.window_s)

    @abstractmethod
    def track(self, source: Path, progress: Progress) -> ExpressionTrack:
        """Reads the expression of a source, for rendering.

        Raises:
            InputError: the source shows no face, or is not a prepared clip where one is needed.
            ArtefactError: the source was prepared with other features than the run's.
        """

    def coefficient_names(self) -> list[str] | None:
        """Names of the tracker's coefficients that the vector holds, [E]; None for a vector of another kind."""
        return None

    def encoder(self, width: int, vector_width: int) -> str:
        """Kind of the map from the vector to its part of e_in, see ``TalkingHead``.

        Args:
            width: width of the expression's part of e_in.
            vector_width: E.
        """
        return "linear"

    def description(self) -> dict[str, Any]:
        """JSON values that the run stores as ``expression_source``."""
        return {"kind": self.kind} | ({"window_s": self.window_s} if self.window_s else {})

    def modules(self) -> dict[str, nn.Module]:
        """Trained modules that the run stores, by name; they are not trained further."""
        return {}

    @property
    def hash(self) -> str | None:
        """Hash of the trained weights that the input depends on; None without any."""
        return None
