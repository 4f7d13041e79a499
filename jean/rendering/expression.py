"""The expression of every frame: of a file, of names, or the training clip's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jean.checkpoint import Checkpoint
from jean.drivers import sources
from jean.drivers.named_expression import Key, parse, read_timeline, vectors
from jean.drivers.person import Person
from jean.drivers.sources import ExpressionTrack
from jean.errors import InputError, UsageError
from jean.media.write import VIDEO_SUFFIXES
from jean.progress import Progress
from jean.rendering.config import RenderConfig
from jean.rendering.load import load_embedder

# Kinds of expression that a network made from the pictures; the others are the tracker's coefficients.
LEARNED = ("emotion", "transformer")


def expressions(
    config: RenderConfig, checkpoint: Checkpoint, person: Person, times: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Expression vectors [T, E] and offsets of the landmarks [T, 68, 2], cm, that the model takes at ``times``, s.

    Raises:
        UsageError: a run that takes no expression, or names that it does not know.
        InputError: a source that is not there or shows no face.
        ArtefactError: a source prepared for other features than the run's.
    """
    meta = checkpoint.payload["meta"]
    keys = _keys(config, float(times[-1]))
    if (config.expression is not None or keys) and _kind(meta) == "none":
        raise UsageError("this run was trained without an expression (audio-only).", "Leave --expression away.")
    read = _reader(checkpoint, progress)
    coefficients, offsets, fps = person.expression, person.offsets, float(meta["fps"])
    if config.expression is not None and not keys:
        source = read(config.expression)
        coefficients, fps = source.coefficients, source.fps
        offsets = person.offsets_like(coefficients, source.offsets)
    positions = sources.source_positions(times, fps, len(coefficients), config.repeat)
    coefficients, offsets = sources.blend_rows(coefficients, positions), sources.blend_rows(offsets, positions)
    if keys:
        # the training clip's own movement (blinks) goes on around the named expression
        mean = person.expression.mean(0)
        named = vectors(keys, person.means, mean, times, lambda path: read(path).coefficients.mean(0))
        coefficients = named + coefficients - mean
        if _kind(meta) in LEARNED:
            offsets = person.offsets_of(coefficients)
        else:
            offsets = offsets + person.offsets_of(named) - person.offsets_of(mean[None])

    def strengthened(track: np.ndarray, own: np.ndarray) -> np.ndarray:
        neutral = own.mean(0)
        return (neutral + config.strength * (track - neutral)).astype(np.float32)

    return strengthened(coefficients, person.expression), strengthened(offsets, person.offsets)


def _kind(meta: dict[str, Any]) -> str:
    """What the run takes as its expression (``NerfConfig.expression``)."""
    return meta.get("expression_source", {}).get("kind", "upper")


def _reader(checkpoint: Checkpoint, progress: Progress) -> Callable[[Path], ExpressionTrack]:
    """From a clip or a video to its track, in the vectors that the run was trained with."""
    meta = checkpoint.payload["meta"]
    if _kind(meta) in LEARNED:
        embed = load_embedder(checkpoint) if _kind(meta) == "transformer" else None

        def learned(path: Path) -> ExpressionTrack:
            track, fps = sources.vector_track(path, meta["expression_source"], embed)
            return ExpressionTrack(track, None, fps)

        return learned

    def measured(path: Path) -> ExpressionTrack:
        track = sources.expression(path, meta["expression"], meta["tracker"], progress)
        if not meta["upper_face"]:
            return track
        return replace(track, coefficients=track.coefficients[:, np.asarray(meta["expression"]["upper"], bool)])

    return measured


def _keys(config: RenderConfig, length_s: float) -> list[Key]:
    """The named expressions that are asked for; none where the expression comes from a file."""
    if config.expression_timeline is not None:
        return read_timeline(config.expression_timeline)
    if config.expression is None or config.expression.exists():
        return []
    text = str(config.expression)
    if "/" in text or config.expression.suffix in VIDEO_SUFFIXES:
        raise InputError(f"{text} does not exist.", "Check --expression.")
    return parse(text, length_s)
