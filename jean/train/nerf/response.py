"""How a finished head responds to what is asked of it: lips and gaze, measured in the end of ``train-nerf``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jean.checkpoint import load_checkpoint
from jean.drivers.gaze_response import GazeResponse
from jean.drivers.lip_response import LipResponse
from jean.drivers.person import read_person
from jean.drivers.person_frames import PersonFrames
from jean.drivers.response import StoredResponse
from jean.errors import ArtefactError
from jean.models.frame import render_frame
from jean.models.talking_head import Frames, TalkingHead
from jean.progress import Progress, Silent
from jean.train.nerf import gaze_response, lip_response
from jean.train.nerf.measurement import REAL_FRAMES, Measurement, spaced
from jean.train.nerf.presets import ResolvedNerfConfig
from jean.train.nerf.stage import NerfStage

TRIED = 5  # frames from which the time of a measurement is estimated


def wanted(config: ResolvedNerfConfig, data: PersonFrames) -> list[type[StoredResponse]]:
    """The responses that a training with this configuration measures in the end."""
    kinds: list[type[StoredResponse]] = []
    if config.lip_response and config.lip_weight and data.method.audio_drives_mouth:
        kinds.append(LipResponse)
    if config.gaze_response and data.eyes is not None:
        kinds.append(GazeResponse)
    return kinds


def measuring_seconds(
    kinds: list[type[StoredResponse]],
    model: TalkingHead,
    frames_of: Callable[[np.ndarray], Frames],
    data: PersonFrames,
    clock: Callable[[], float],
) -> float:
    """Seconds that the measurement of responses takes, estimated from a few frames; 0 where it is not possible.

    Args:
        kinds: from ``wanted``.
        model: the head, trained or not.
        frames_of: gives the model's inputs for frame indices [F].
        data: the person's frames.
        clock: seconds.
    """
    measurement = Measurement.prepare(model, frames_of, data, Silent()) if kinds else None
    if measurement is None:
        return 0.0
    rows = spaced(data.train, TRIED)
    real = [data.image(int(row)) for row in rows]
    measurement.faces("", real[:1])  # loads the tracker
    began = clock()
    for row in rows:
        render_frame(model, frames_of(np.array([row])), data.plate(int(row)))
    drawn = clock()
    measurement.faces("", real)
    drawing, tracking = (drawn - began) / len(rows), (clock() - drawn) / len(rows)
    pictures = {LipResponse: lip_response.PICTURES, GazeResponse: gaze_response.PICTURES}
    return REAL_FRAMES * tracking + sum(pictures[kind] for kind in kinds) * (drawing + tracking)


def store_responses(stage: NerfStage, output: Path, progress: Progress) -> None:
    """Measures the responses of a finished run that were not measured before, and stores them."""
    kinds = wanted(stage.config, stage.data)
    if not kinds:
        return
    checkpoint, person = load_checkpoint(output, stage=NerfStage.name, warn=progress.warn), read_person(output)
    content = checkpoint.content_hash

    def is_missing(kind: type[StoredResponse]) -> bool:
        try:
            return kind.read(checkpoint) is None
        except ArtefactError as error:
            progress.warn(f"{error} It is measured again.")
            return True

    kinds = [kind for kind in kinds if is_missing(kind)]
    if not kinds:
        return
    stage.ema.load_state_dict(checkpoint.module_state("model"))  # a run that was finished before loaded none
    measurement = Measurement.prepare(stage.ema.eval(), stage.frames, stage.data, progress)
    if measurement is None:
        return
    responses: list[StoredResponse | None] = []
    if LipResponse in kinds and person.style is not None and person.support.lips is not None:
        responses.append(lip_response.measure_lips(measurement, person.style, person.support.lips, content))
    if GazeResponse in kinds and person.eyes is not None:
        responses.append(gaze_response.measure_gaze(measurement, person.eyes, content))
    for response in responses:
        if response is not None:
            response.write(output)
