"""Expression of a result: from a file, from names, or from the training clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.drivers.expression_input import ExpressionInput
from jean.drivers.named_expression import ExpressionKey, expression_vectors, parse_expression, read_timeline
from jean.drivers.person import Person
from jean.drivers.resampling import interpolate_rows, source_positions
from jean.errors import InputError, UsageError
from jean.files import exists, refuse_url
from jean.media.write import VIDEO_SUFFIXES
from jean.progress import Progress
from jean.rendering.config import RenderConfig
from jean.rendering.eyes import eyes_of_source, with_lids_of_person, without_eyes
from jean.row_file import in_blocks


@dataclass(frozen=True)
class ResultExpression:
    """The expression of a result, before the support limit.

    Attributes:
        vectors: expression vectors, float32 [T, E].
        offsets: landmark offsets, float32 [T, 68, 2], cm; for a head with inputs for the eyes, the lids are those of
            the person's mean eyes.
        mean_kept: fraction of the distance between the source's mean vector and the person's that remains.
        eyes: eye values of the source [T, 4]; None for a head without inputs for them.
    """

    vectors: np.ndarray
    offsets: np.ndarray
    mean_kept: float
    eyes: np.ndarray | None


def expressions(
    config: RenderConfig,
    source: ExpressionInput,
    person: Person,
    times: np.ndarray,
    own_fps: float,
    progress: Progress,
) -> ResultExpression:
    """Expression vectors and landmark offsets of the result, before the support limit.

    The mean of a foreign source is brought near the person's (``Support.approach``). Named expressions are means of the
    person, and stay.

    Args:
        config: the expression source, its strength, or names.
        source: the expression input of the head.
        person: the person of the run.
        times: middles of the result's frames [T], s.
        own_fps: frames per second of the training clip.
        progress: receives progress while a video is tracked.

    Raises:
        UsageError: a run without an expression, or an unknown name.
        InputError: the source does not exist or shows no face.
        ArtefactError: the source was prepared with other features than the run's.
    """
    keys = _keys(config, float(times[-1]))
    if (config.expression is not None or keys) and not source.takes_source:
        raise UsageError("this run was trained without an expression (audio-only).", "Leave --expression away.")
    track, offsets, fps, remaining = person.expression, person.offsets, own_fps, 1.0
    eyes = None if person.eyes is None else person.eyes.values
    if config.expression is not None and not keys:
        source_track = source.track(config.expression, progress)
        track, remaining = person.support.expression.approach(source_track.vectors)
        fps, offsets = source_track.fps, person.retarget_offsets(track, source_track.offsets)
        eyes = eyes_of_source(person.eyes, source_track, track)
        offsets = with_lids_of_person(offsets, person.eyes, source_track, eyes)
    elif person.eyes is not None:
        offsets = without_eyes(offsets, person.eyes, person.eyes.values)
    positions = source_positions(times, fps, len(track), config.repeat)
    track, offsets = interpolate_rows(track, positions), interpolate_rows(offsets, positions)
    eyes = None if eyes is None else interpolate_rows(eyes, positions)
    if keys:
        # the training clip's own motion (blinks) is added to the named expression
        mean = person.expression.mean(0)
        named = expression_vectors(
            keys, person.means, mean, times, lambda path: source.track(path, progress).vectors.mean(0)
        )
        track = named + track - mean
        if source.measures_offsets:
            offsets = offsets + person.predict_offsets(named) - person.predict_offsets(mean[None])
        else:
            offsets = person.predict_offsets(track)

    def scaled(values: np.ndarray, own: np.ndarray) -> np.ndarray:
        neutral = own.mean(0)
        return in_blocks(lambda rows: (neutral + config.strength * (rows - neutral)).astype(np.float32), values)

    return ResultExpression(scaled(track, person.expression), scaled(offsets, person.offsets), remaining, eyes)


def _keys(config: RenderConfig, length_s: float) -> list[ExpressionKey]:
    """Keyframes of the named expressions; none where the expression comes from a file.

    Args:
        config: the expression source.
        length_s: time of the last frame, s.
    """
    if config.expression_timeline is not None:
        return read_timeline(config.expression_timeline)
    if config.expression is None or exists(config.expression):
        return []
    refuse_url(config.expression)
    text = str(config.expression)
    if "/" in text or config.expression.suffix in VIDEO_SUFFIXES:
        raise InputError(f"{text} does not exist.", "Check --expression.")
    return parse_expression(text, length_s)
