"""Lips of a result: by the lip prior with the person's style, or by the head's own audio encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from jean.checkpoint import Checkpoint
from jean.drivers.audio_windows import neighbour_rows
from jean.drivers.lip_response import LipResponse
from jean.drivers.lip_style import LipStyle
from jean.drivers.method import Method
from jean.drivers.person import Person
from jean.drivers.slow import HELD_S, held_offsets
from jean.drivers.speech import speech_gate
from jean.drivers.support import Support
from jean.drivers.voice import VoiceDetector
from jean.errors import InputError, UsageError
from jean.lips.parameters import opening_and_width
from jean.lips.prior import BUILTIN, load_prior, prior_of_run
from jean.media import RATE_HZ, count_frames, read_audio
from jean.models.talking_head import TalkingHead
from jean.rendering.config import RenderConfig
from jean.row_file import in_blocks


def has_lip_coordinates(checkpoint: Checkpoint, method: Method) -> bool:
    """Whether the audio part of e_in holds coordinates of the mouth, as ``lip_weight`` teaches; else it is free."""
    return bool(checkpoint.payload["config"].get("lip_weight")) and method.audio_drives_mouth


def prior_path(config: RenderConfig, checkpoint: Checkpoint, method: Method) -> Path | None:
    """File of the lip prior that decides the lips; None where the head's own audio encoder does.

    Raises:
        UsageError: a prior was asked for, but the head has no lip coordinates that it could set.
        InputError: ``--lips`` names no run of train-lips.
    """
    settable = has_lip_coordinates(checkpoint, method)
    if config.lips == "own" or (config.lips is None and not (settable and method.name is None)):
        return None
    if not settable:
        raise UsageError("the lips of this head follow no prior.", "Its method or preset has none; use --lips own.")
    if config.lips in (None, "prior"):
        return BUILTIN
    return prior_of_run(Path(str(config.lips)))


def lips_by_prior(
    prior: Path,
    config: RenderConfig,
    style: LipStyle,
    response: LipResponse | None,
    fps: float,
    detector: VoiceDetector | None,
) -> np.ndarray:
    """Opening and width [T, 2], cm, for the speech of the configuration, by a lip prior; T = ⌈duration · fps⌉.

    Args:
        prior: file of the prior.
        config: the speech and the articulation.
        style: how the person's lips look.
        response: how the head's lips respond; None where that was not measured.
        fps: frames per second of the result.
        detector: the lips close where it hears nobody speak; None: where the sound is quiet.

    Raises:
        InputError: the file holds no sound.
    """
    assert config.audio is not None
    wave = read_audio(config.audio)
    count = count_frames(len(wave) / RATE_HZ, fps)
    if not count:
        raise InputError(f"{config.audio} holds no sound.", "Choose another --audio.")
    times_s = (np.arange(count) + 0.5) / fps
    track = load_prior(prior).track(wave)
    voice = track.speaks_at(times_s) if detector is None else detector.speaks(wave, count, fps)
    return style.lips(track, times_s, config.articulation, speech_gate(voice, fps), response)


@torch.no_grad()
def held_lips(
    model: TalkingHead,
    offsets: np.ndarray,
    shape: np.ndarray,
    held: np.ndarray,
    replaced: np.ndarray | None = None,
) -> np.ndarray:
    """What changes lips of speech [T, W] so that they hold another mouth, for example a smile.

    A voice tells the speaker's own smile or frown, which an audio encoder has learned to show. So what the lips of the
    speech hold gives way to what a source holds. Neither opens the lips: few coordinates stand for the whole mouth, so
    the nearest ones to a smile may open or close it, and that is taken out along the direction in which the person's
    own lips open.

    Args:
        model: the head, which has lip coordinates.
        offsets: of the person's own face [N, 68, 2], cm.
        shape: the person's rigid head [68, 3], cm.
        held: offsets about the mean of ``offsets`` [T, 68, 2], cm.
        replaced: what the lips of the speech hold, coordinates [T, W], see ``jean.drivers.slow.parted_mouth``; None
            adds to it, as for a mouth that was generated for this speech.

    Returns:
        [T, W], to be added to the coordinates of the speech.
    """
    offsets = np.asarray(offsets, np.float32)

    def coordinates(values: np.ndarray) -> np.ndarray:
        found = model.head.lip_coordinates(torch.from_numpy(values).float().to(model.device))
        return np.asarray(found.cpu().double().numpy())

    own = coordinates(offsets)
    own -= own.mean(0)
    opening = opening_and_width(shape[:, :2] + offsets)[:, 0].astype(np.float64)
    opening -= opening.mean()
    ridge = 1e-3 * len(own) * np.diag(own.var(0) + 1e-6)
    opens = np.linalg.solve(own.T @ own + ridge, own.T @ opening)  # opening per unit of each coordinate
    direction = own.T @ opening
    size = float(direction @ opens)
    mean = offsets.mean(0, keepdims=True)
    change = in_blocks(lambda rows: coordinates(mean + rows), held) - (
        coordinates(mean) if replaced is None else replaced
    )
    return change if size < 1e-9 else change - np.outer(change @ opens, direction / size)


def held_reach_s(config: RenderConfig, checkpoint: Checkpoint, method: Method) -> float:
    """``held_s`` of a render, or its default, in seconds; 0 for a head that takes no held mouth.

    Raises:
        UsageError: a held mouth was asked for, but the head has no lip coordinates to which it could be added.
    """
    if not has_lip_coordinates(checkpoint, method):
        if config.held_s:
            raise UsageError("this head takes no held mouth.", "Its method or preset has none; leave held_s away.")
        return 0.0
    return config.held_s if config.held_s is not None else (HELD_S if method.name is None else 0.0)


def held_mouth(
    config: RenderConfig, reach_s: float, person: Person, shape: np.ndarray, offsets: np.ndarray, fps: float
) -> np.ndarray | None:
    """The held mouth of an expression source: offsets about the person's mean face [T, 68, 2], cm.

    Args:
        config: the expression source.
        reach_s: see ``held_reach_s``.
        person: the person of the run.
        shape: the person's rigid head [68, 3], cm.
        offsets: of the source, brought to the person, [T, 68, 2], cm.
        fps: frames per second of the result.

    Returns:
        None without a source of its own: the training clip's mouth is that of its own speech.
    """
    if not reach_s or (config.expression is None and config.expression_timeline is None):
        return None
    mean = person.offsets.mean(0, dtype=np.float64)
    return held_offsets(offsets - mean, shape[:, :2] + mean, fps, reach_s)


def lip_style(person: Person, model: TalkingHead, checkpoint: Checkpoint) -> tuple[LipStyle, Support]:
    """Style and support of a person's lips; fitted to the stored tracks for a run of version 0.1, which stored neither.

    Args:
        person: the person of the run.
        model: the head, which has lip coordinates.
        checkpoint: of the head.
    """
    if person.style is not None and person.support.lips is not None:
        return person.style, person.support.lips
    shape = np.array(checkpoint.payload["meta"]["model"]["shape"])
    offsets = torch.from_numpy(person.offsets).float().to(model.device)
    coordinates = model.head.lip_coordinates(offsets).cpu().double().numpy()
    style = LipStyle.fit(opening_and_width(shape[:, :2] + person.offsets), coordinates)
    return style, Support.fit(coordinates, scale_floor=0.02)


@torch.no_grad()
def lips_by_encoder(model: TalkingHead, windows: np.ndarray, neighbours: int, spacing: float) -> np.ndarray:
    """The audio part of e_in [T, audio_width], by the head's audio encoder.

    Args:
        model: the head.
        windows: audio windows [T, window, D].
        neighbours: number of frames that are smoothed together; 0 for none.
        spacing: distance of neighbours in frames of the result.
    """
    rows = neighbour_rows(len(windows), neighbours, spacing) if neighbours else np.arange(len(windows))
    parts = [
        model.audio_embedding(torch.from_numpy(windows[part]).to(model.device))
        for part in np.array_split(rows, -(-len(rows) // 256))
    ]
    return np.asarray(torch.cat(parts).cpu().numpy())
