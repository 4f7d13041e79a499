"""Configuration of ``jean act``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from jean.jobs.config import JobsConfig


class ActConfig(JobsConfig):
    """Options of ``act``."""

    audio: Path | None = Field(None, description="The speech: any file with sound; required.")
    emotion: str | None = Field(
        None,
        description="The emotion: a name such as happy, happy:0.7 or sad..happy, or auto, by the voice. By default "
        "neutral.",
    )
    emotion_timeline: Path | None = Field(
        None, description="Emotions over time, instead of --emotion: a CSV file of time_s, expression, strength."
    )
    pose: Path | None = Field(None, description="A clip whose head pose is kept; the other cues fit it.")
    expression: Path | None = Field(None, description="A clip whose brows and lids are kept; the other cues fit them.")
    gaze: Path | None = Field(None, description="A clip whose gaze and lids are kept; the other cues fit them.")
    fps: float = Field(25.0, ge=1, le=240, description="Frames per second of the clip.")
