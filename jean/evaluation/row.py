"""The row of one result: its values, and a line for all that a reader must know of how they came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jean.evaluation.pairing import Job
from jean.metrics.base import Sound


def make_row(
    job: Job,
    sounds: tuple[Sound, ...],
    own: dict[str, float],
    fps: float,
    base: dict[str, Any],
    scores: list[dict[str, Any]],
    missing: list[str],
    notes: list[str],
) -> dict[str, Any]:
    """The row of one result; see ``evaluate``.

    Args:
        job: what was compared.
        sounds: that its lips should follow.
        own: frames a second of each video by its role; fps: of the comparison.
        base: ``frames``, the counts, and ``thumbnails``.
        scores: what each metric found, in terms of JSON.
        missing: metrics that could not be computed.
        notes: further lines.
    """
    row: dict[str, Any] = {"system": job.system, "name": job.name, "result": str(job.result)}
    row |= {role: _text(getattr(job, role)) for role in ("reference", "expression_source", "audio_source")}
    row |= {"sounds": [{**asdict(sound), "path": str(sound.path)} for sound in sounds]}
    row |= {"fps": fps, "own_fps": own, "frames": base["frames"], "values": {}, "series": {}, "series_hz": {}}
    row["missing"] = missing
    row["notes"] = [*_notes(base["frames"], own, fps), *notes]
    for found in scores:
        row["values"] |= found["values"]
        row["series"] |= found["series"]
        row["series_hz"] |= dict.fromkeys(found["series"], found["rate_hz"])
        row["notes"] += [note for note in found["notes"] if note not in row["notes"]]
    row["thumbnails"] = base["thumbnails"]
    return row


def _notes(frames: dict[str, int], own: dict[str, float], fps: float) -> list[str]:
    """A line for everything by which the videos differ."""
    notes = []
    partner = "reference" if "left_reference" in frames else "expression"
    for role in ("reference", "expression"):
        left = (frames["left_result"], frames.get(f"left_{role}", 0)) if role == partner else (0, 0)
        compared = frames.get(f"compared_{role}", frames["compared"])
        if f"compared_{role}" in frames:
            left = (frames["compared"] + frames["left_result"] - compared, frames[f"left_{role}"])
        if any(left) and f"left_{role}" in frames:
            notes.append(
                f"Lengths differ: {compared} frames compared, {left[0]} of the result and "
                f"{left[1]} of the {_word(role)} left over."
            )
    for role, rate in own.items():
        if abs(rate - fps) > 1e-3 * fps:
            notes.append(f"The {_word(role)} has {rate:g} frames/s, compared at {fps:g} by time stamps.")
    for role in ("result", "reference", "expression"):
        if frames.get(f"no_face_{role}"):
            notes.append(f"No face in {frames[f'no_face_{role}']} frames of the {_word(role)}.")
        if count := frames.get(f"several_faces_{role}"):
            notes.append(f"Several faces in {count} frames of the {_word(role)}: one was followed.")
    return notes


def _word(role: str) -> str:
    return "expression source" if role == "expression" else role


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def rows_of(table_rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows without what grows with the length of the video; that stays in the file ``details``."""
    for row in table_rows:
        yield {key: value for key, value in row.items() if key not in ("series", "series_hz", "thumbnails")}
