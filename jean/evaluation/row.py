"""The table row of one result: its numbers, and notes that a reader needs to judge them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jean.evaluation.pairing import ROLES, Job
from jean.metrics.base import Sound


def make_row(
    job: Job,
    sounds: tuple[Sound, ...],
    own_fps: dict[str, float],
    fps: float,
    base: dict[str, Any],
    scores: list[dict[str, Any]],
    missing: list[str],
    notes: list[str],
) -> dict[str, Any]:
    """Builds the row of one result; ``evaluate`` documents it.

    Args:
        job: the result and its partners.
        sounds: the speech that its lips should follow.
        own_fps: role → frame rate of that video.
        fps: frame rate of the comparison.
        base: ``frames`` (counts) and ``thumbnails``.
        scores: the output of each metric as JSON values, with ``rate_hz``.
        missing: metrics that could not be computed.
        notes: further notes.
    """
    row: dict[str, Any] = {"system": job.system, "name": job.name, "result": str(job.result)}
    row |= {role: _text(getattr(job, role)) for role in ROLES}
    row |= {"sounds": [{**asdict(sound), "path": str(sound.path)} for sound in sounds]}
    row |= {"fps": fps, "own_fps": own_fps, "frames": base["frames"], "values": {}, "series": {}, "series_hz": {}}
    row["missing"] = missing
    row["notes"] = [*_notes(base["frames"], own_fps, fps), *notes]
    for score in scores:
        row["values"] |= score["values"]
        row["series"] |= score["series"]
        row["series_hz"] |= dict.fromkeys(score["series"], score["rate_hz"])
        row["notes"] += [note for note in score["notes"] if note not in row["notes"]]
    row["thumbnails"] = base["thumbnails"]
    return row


def without_series(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Removes what grows with the length of the video; the file ``details`` of each row keeps it."""
    return [{k: v for k, v in row.items() if k not in ("series", "series_hz", "thumbnails")} for row in rows]


def _notes(frames: dict[str, int], own_fps: dict[str, float], fps: float) -> list[str]:
    """One note for each difference between the videos, and for missing or several faces."""
    notes = []
    # the counts of the result ("compared", "left_result") refer to the reference, or else to the expression source
    main = "reference" if "left_reference" in frames else "expression"
    for role in ("reference", "expression"):
        if f"left_{role}" not in frames:
            continue
        compared, left_result = frames["compared"], frames["left_result"] if role == main else 0
        if f"compared_{role}" in frames:
            compared = frames[f"compared_{role}"]
            left_result = frames["compared"] + frames["left_result"] - compared
        left_partner = frames[f"left_{role}"] if role == main or f"compared_{role}" in frames else 0
        if left_result or left_partner:
            notes.append(
                f"Lengths differ: {compared} frames compared, {left_result} of the result and "
                f"{left_partner} of the {_role_text(role)} left over."
            )
    for role, rate in own_fps.items():
        if abs(rate - fps) > 1e-3 * fps:
            notes.append(f"The {_role_text(role)} has {rate:g} frames/s, compared at {fps:g} by time stamps.")
    for role in ("result", "reference", "expression"):
        if frames.get(f"no_face_{role}"):
            notes.append(f"No face in {frames[f'no_face_{role}']} frames of the {_role_text(role)}.")
        if count := frames.get(f"several_faces_{role}"):
            notes.append(f"Several faces in {count} frames of the {_role_text(role)}: one was followed.")
    return notes


def _role_text(role: str) -> str:
    return "expression source" if role == "expression" else role


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
