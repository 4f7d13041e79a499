"""Gaze and lids of a result: asked for by options, or as in the expression source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.expression_input import ExpressionTrack
from jean.drivers.eyes import CLOSURE, GAZE, HIDDEN_IRIS, OPEN_IRIS, EyeTrack, camera_gaze, eye_track
from jean.drivers.gaze_response import GazeResponse
from jean.drivers.person_eyes import PersonEyes, fit_lids, lid_offsets
from jean.drivers.resampling import interpolate_rows, source_positions
from jean.errors import InputError, UsageError
from jean.landmarks import EYES
from jean.rendering.config import RenderConfig
from jean.row_file import in_blocks

AT_CAMERA, OFF = "at-camera", "off"
FURTHEST_DEG = 25.0  # that eyes turn towards the camera; people turn the head rather than look further aside


def eye_clips(config: RenderConfig) -> dict[str, Path]:
    """The clips that ``--gaze`` and ``--blink`` name, by option.

    Raises:
        UsageError: a gaze that begins like a pair of numbers and is none.
    """
    clips = {}
    if config.gaze is not None and config.gaze != AT_CAMERA and _degrees(config.gaze) is None:
        clips["gaze"] = Path(config.gaze)
    if config.blink is not None and config.blink != OFF:
        clips["blink"] = Path(config.blink)
    return clips


def refuse_eye_options(config: RenderConfig, eyes: PersonEyes | None) -> None:
    """Refuses ``--gaze`` and ``--blink`` for a head that has no inputs for the eyes.

    Raises:
        UsageError: one of the options is given, and the head cannot follow it.
    """
    if eyes is None and (config.gaze is not None or config.blink is not None):
        option = "--gaze" if config.gaze is not None else "--blink"
        raise UsageError(
            f"{option} needs a head that was trained with gaze and lids as inputs; this one was not.",
            "Train it again with --set eyes=true, on clips whose tracker finds irises.",
        )


def result_eyes(
    config: RenderConfig, eyes: PersonEyes, source: np.ndarray, camera_to_world: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Eye values of the result [T, 4], before the limit.

    Args:
        config: the options.
        eyes: of the person.
        source: eye values of the expression source [T, 4].
        camera_to_world: head poses of the result [T, 4, 4].
        times: middles of the result's frames [T], s.

    Raises:
        UsageError: a gaze of another form.
        InputError: a clip that shows no eyes.
    """
    values = np.array(source, np.float64)
    if config.gaze is not None:
        degrees = _degrees(config.gaze)
        if config.gaze == AT_CAMERA:
            values[:, GAZE] = camera_gaze(camera_to_world).clip(-FURTHEST_DEG, FURTHEST_DEG)
        elif degrees is not None:
            values[:, GAZE] = degrees
        else:
            track = _clip_eyes(Path(config.gaze), "gaze")
            values[:, GAZE] = _at(track.values[:, GAZE], track, times, config)
    if config.blink == OFF:
        # lids that hang lower than usual are raised to the person's median, others stay
        values[:, CLOSURE] = np.minimum(values[:, CLOSURE], np.median(eyes.values[:, CLOSURE], axis=0))
    elif config.blink is not None:
        track = _clip_eyes(Path(config.blink), "blink")
        values[:, CLOSURE] = _at(track.values[:, CLOSURE], track, times, config)
    return values


def corrected_gaze(
    response: GazeResponse, eyes: PersonEyes, values: np.ndarray, camera_to_world: np.ndarray, named: bool
) -> np.ndarray:
    """The gaze [T, 2] to ask a head for, so that it renders that of ``values``.

    While lids close, the correction fades: it would open them, and no iris is seen.

    Args:
        response: of the head.
        eyes: of the person.
        values: limited eye values [T, 4].
        camera_to_world: head poses [T, 4, 4].
        named: whether the user names the gaze and wants its direction. Other eyes stay within the range of the
            training, because those beyond it are torn more often.
    """
    gaze = response.ask_for(values[:, GAZE], camera_gaze(camera_to_world))
    if not named:
        gaze = eyes.gaze.limit(gaze)[0]
    closure = values[:, CLOSURE].max(1, keepdims=True)
    seen = ((HIDDEN_IRIS - closure) / (HIDDEN_IRIS - OPEN_IRIS)).clip(0, 1)
    return np.asarray(values[:, GAZE] + seen * (gaze - values[:, GAZE]))


def eyes_of_source(eyes: PersonEyes | None, source: ExpressionTrack, vectors: np.ndarray) -> np.ndarray | None:
    """Eye values [T, 4] of a foreign expression source: measured, or told by its vectors in the person's terms.

    The mean of a measured gaze is brought near the person's, as that of the expression is (``Support.approach``).

    Args:
        eyes: of the person; None for a head without inputs for them, which gives None.
        source: the source.
        vectors: its expression vectors [T, E], brought near the person's.
    """
    if eyes is None:
        return None
    if source.eyes is None:
        return eyes.told_by(vectors)
    values = source.eyes.values.astype(np.float64)
    if not source.eyes.gaze_known.any():
        values[:, GAZE] = eyes.mean[GAZE]
    # what is constant in a source's gaze is largely its camera and an error of its zero
    values[:, GAZE] = eyes.gaze.approach(values[:, GAZE])[0]
    return values


def without_eyes(offsets: np.ndarray, eyes: PersonEyes, values: np.ndarray) -> np.ndarray:
    """Landmark offsets [T, 68, 2] with the lids of the person's mean eyes instead of those of ``values`` [T, 4]."""
    changed = np.array(offsets, np.float64)
    changed[:, EYES] += lid_offsets(eyes.lids, eyes.mean[None]) - lid_offsets(eyes.lids, values)
    return changed


def with_eyes(offsets: np.ndarray, eyes: PersonEyes, values: np.ndarray) -> np.ndarray:
    """The inverse of ``without_eyes``: offsets with the lids of ``values``."""

    def changed(rows: np.ndarray, of_eyes: np.ndarray) -> np.ndarray:
        moved = np.array(rows, np.float64)
        moved[:, EYES] += lid_offsets(eyes.lids, of_eyes) - lid_offsets(eyes.lids, eyes.mean[None])
        return moved

    return in_blocks(changed, offsets, values)


def with_lids_of_person(
    offsets: np.ndarray, eyes: PersonEyes | None, source: ExpressionTrack, values: np.ndarray | None
) -> np.ndarray:
    """A foreign source's offsets with lids as this person's look with mean eyes.

    Lids of another person open to another height: the same closure is another distance. So the lids follow the eye
    values by the person's own regression (``with_eyes``), and only what the source's lids do besides, as in a smile, is
    taken over as a distance.

    Args:
        offsets: of the source, brought to the person, [T, 68, 2], cm.
        eyes: of the person; None leaves the offsets as they are.
        source: the source.
        values: its eye values [T, 4]; None without ``eyes``.
    """
    if eyes is None or values is None:
        return offsets
    if source.offsets is None and source.eyes is None:  # lids were predicted from the vectors, as the eyes were
        return without_eyes(offsets, eyes, values)
    changed = np.array(offsets, np.float64)
    changed[:, EYES] = lid_offsets(eyes.lids, eyes.mean[None])
    if source.offsets is not None:
        changed[:, EYES] += source.offsets[:, EYES] - lid_offsets(fit_lids(values, source.offsets), values)
    return changed


def _degrees(text: str) -> np.ndarray | None:
    """Gaze [2] of "X,Y"; None for a text without a comma between numbers.

    Raises:
        UsageError: numbers that are no directions.
    """
    if Path(text).exists():
        return None
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        return None
    if len(values) != 2 or not (np.abs(values) <= 90).all():
        raise UsageError(f"--gaze {text} is no pair of angles between -90 and 90.", "Write, for example: --gaze 10,-5")
    return values


def _clip_eyes(folder: Path, option: str) -> EyeTrack:
    """The eyes of a prepared clip.

    Raises:
        InputError: no clip, or one in which they are never seen.
    """
    track = eye_track(Clip.open(folder, pictures=False))
    known = track.gaze_known if option == "gaze" else track.lids_known
    if not known.any():
        what = "irises" if option == "gaze" else "face"
        raise InputError(f"{folder} has no {what} in any frame.", f"Choose another --{option}.")
    return track


def _at(values: np.ndarray, track: EyeTrack, times: np.ndarray, config: RenderConfig) -> np.ndarray:
    """Rows of a track at the result's times."""
    return interpolate_rows(values, source_positions(times, track.fps, len(track), config.repeat))
