"""What the demo makes: one person, clips to learn from, and three sources to drive with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from jean.config import StageConfig

TRAIN, SPEECH, EXPRESSION, POSE = "train", "speech", "expression", "pose"


class DemoConfig(StageConfig):
    """Options of the demo.

    Attributes:
        short: a smaller and quicker one, to see that everything runs; its picture is poor.
        person: who the synthetic speaker is, a seed.
        size: side of the frames, px; None: 256, or 128 for the short one.
        train_steps: optimisation steps; None: 3000, or 300 for the short one. The same head on every machine.
        train_minutes: how long the head is trained instead.
        seed: of the training.
        device: where training, rendering and trackers run.
    """

    short: bool = False
    person: int = Field(0, ge=0)
    size: int | None = Field(None, ge=64, le=1024, multiple_of=2)
    train_steps: int | None = Field(None, ge=1)
    train_minutes: float | None = Field(None, gt=0)
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @property
    def size_px(self) -> int:
        """Side of the frames."""
        return self.size or (128 if self.short else 256)

    @property
    def length(self) -> dict[str, float]:
        """Length of the training, as options of ``NerfConfig``."""
        if self.train_minutes is not None and self.train_steps is None:
            return {"minutes": self.train_minutes}
        return {"steps": self.train_steps or (300 if self.short else 3000)}


@dataclass(frozen=True)
class DemoClip:
    """One synthetic clip.

    Attributes:
        name: of its files.
        role: ``train`` (several), ``speech``, ``expression`` or ``pose`` (one each).
        emotion, strength: see ``jean.synthetic_speaker``.
        seconds: length.
        seed: of everything but the person; other seeds say other sentences.
    """

    name: str
    role: str
    emotion: str
    strength: float
    seconds: float
    seed: int


def plan(config: DemoConfig) -> list[DemoClip]:
    """All clips; the three sources are equally long and none of them is trained on."""
    if config.short:
        return [
            DemoClip("train_neutral", TRAIN, "neutral", 1.0, 3.0, 11),
            DemoClip("train_happy", TRAIN, "happy", 1.0, 3.0, 12),
            DemoClip("speech", SPEECH, "neutral", 1.0, 2.6, 21),
            DemoClip("expression", EXPRESSION, "happy", 1.0, 2.6, 22),
            DemoClip("pose", POSE, "neutral", 1.0, 2.6, 23),
        ]
    return [
        DemoClip("train_neutral", TRAIN, "neutral", 1.0, 6.0, 11),
        DemoClip("train_happy", TRAIN, "happy", 1.0, 6.0, 12),
        DemoClip("train_angry", TRAIN, "angry", 1.0, 5.0, 13),
        DemoClip("train_sad", TRAIN, "sad", 1.0, 5.0, 14),
        DemoClip("speech", SPEECH, "neutral", 1.0, 5.0, 21),
        DemoClip("expression", EXPRESSION, "happy", 1.0, 5.0, 22),
        DemoClip("pose", POSE, "neutral", 1.0, 5.0, 23),
    ]


def of_role(clips: list[DemoClip], role: str) -> list[DemoClip]:
    """The clips of one role."""
    return [clip for clip in clips if clip.role == role]
