"""What drives a head besides the pose, by method: the paper's, its rivals with one input, and Table 2's variants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jean.clips.clip import Clip
from jean.clips.corpus import describe
from jean.drivers.emotion import emotion_track
from jean.drivers.person import fit_offsets, offsets_from
from jean.drivers.person_frames import PersonFrames
from jean.errors import ArtefactError, InputError
from jean.models.stored import Stored, load_audio_encoder, load_expression_transformer
from jean.models.talking_head import TalkingHead
from jean.progress import Progress
from jean.train.nerf.config import NerfConfig


@dataclass(frozen=True)
class LearnedInputs:
    """What was learned before the head, and travels with it.

    Attributes:
        audio: the audio encoder of ``train-audio``, or None: learned with the head.
        expression: the transformer of ``train-expr``, or None.
        source: what the expression vector is made of, as JSON values, see ``jean.drivers.sources.vector_track``.
    """

    audio: Stored | None
    expression: Stored | None
    source: dict[str, Any]

    @property
    def hashes(self) -> dict[str, str | None]:
        """Of the weights, by kind."""
        return {
            "audio_run": self.audio.hash if self.audio else None,
            "expression_run": self.expression.hash if self.expression else None,
        }


def load_inputs(config: NerfConfig, clips: list[Clip], progress: Progress) -> LearnedInputs:
    """Opens the runs that a configuration names, and checks that they fit the clips and the method.

    Raises:
        ArtefactError: a run of another kind, extractor, tracker or variant than the method's.
        InputError: the clips lack features.
    """
    audio = expression = None
    source: dict[str, Any] = {"kind": config.expression}
    if config.audio_run is not None:
        audio = load_audio_encoder(Path(config.audio_run), progress.warn)
        (name, made), *_ = audio.meta["audio"].items()
        theirs = (clips[0].meta["audio"] or {}).get(name)
        if config.audio_features not in (None, name):
            raise ArtefactError(
                f"{config.audio_run} was trained on {name} features, not {config.audio_features}.",
                f"Leave --set audio_features away, or name a run that was trained on {config.audio_features}.",
            )
        if theirs is None:
            raise InputError(f"{clips[0].folder} has no {name} features.", f"Prepare it with --audio-features {name}.")
        if theirs != made:
            raise ArtefactError(f"the clips' {name} features are of another version than the run's.", "Make both anew.")
        if audio.meta["model"]["out"] != 64:
            raise ArtefactError(f"{config.audio_run} gives embeddings of another width than 64.", "Train it with 64.")
    if config.expression == "transformer":
        assert config.expression_run is not None  # resolved() saw to it
        expression = load_expression_transformer(Path(config.expression_run), progress.warn)
        variant = expression.meta["variant"]
        wanted = {"d": "d", "jean": "jean"}.get(config.method or "")
        if wanted and variant != wanted:
            raise ArtefactError(
                f"{config.expression_run} is of variant {variant}, method {config.method} needs {wanted}.",
                "Train the expression transformer on other features.",
            )
        if variant == "d":
            progress.warn("the expression comes from no emotion network: this is the paper's variant (d).")
        source |= {"emotion": expression.meta["emotion"], "model": expression.meta["model"], "variant": variant}
    elif config.expression == "emotion":
        name = config.emotion_features or next(iter(clips[0].meta.get("emotion") or {}), None)
        if name is None:
            raise InputError(f"{clips[0].folder} has no emotion features.", "Prepare it with --emotion-features NAME.")
        source["emotion"] = emotion_track(clips[0], name)[1]
    return LearnedInputs(audio, expression, source)


def audio_name(inputs: LearnedInputs, config: NerfConfig) -> str | None:
    """Name of the audio features: those of the run, where there is one."""
    return next(iter(inputs.audio.meta["audio"])) if inputs.audio else config.audio_features


def apply_inputs(data: PersonFrames, inputs: LearnedInputs, config: NerfConfig) -> None:
    """Puts the method's expression vectors and sound in the place of coefficients and windows.

    Where a vector is not the tracker's coefficients, the face's motion too is told from it (by the ridge
    regression that rendering uses), so that nothing reaches the head beside its two inputs.
    """
    if config.speech == "none":
        data.audio = np.zeros_like(data.audio)
    if config.expression in ("upper", "all"):
        return
    if config.expression == "none":
        data.expression = np.zeros((len(data.expression), 1), np.float32)
    else:
        name = inputs.source["emotion"]["name"]
        tracks = []
        for clip in data.clips:
            track, made = emotion_track(clip, name)
            if made != inputs.source["emotion"]:
                raise ArtefactError(f"{clip.folder} has {name} features of another version.", "Prepare it again.")
            # e_e of a frame is element ω/2 of its window (section 8.4.2)
            tracks.append(inputs.expression.model.embed_track(track)[1] if inputs.expression else track)
        data.expression = np.concatenate(tracks).astype(np.float32)
    slopes = fit_offsets(data.expression[data.train], data.offsets[data.train])
    data.offsets = offsets_from(slopes, data.expression).astype(np.float32)


def load_speech(model: TalkingHead, inputs: LearnedInputs) -> None:
    """Begins with the audio encoder of ``train-audio``."""
    if inputs.audio is not None:
        state = inputs.audio.checkpoint.module_state("model")
        model.audio_encoder.load_state_dict({name: value.clone() for name, value in state.items()})


@torch.no_grad()
def audio_scale(data: PersonFrames, inputs: LearnedInputs | None, config: NerfConfig) -> float:
    """What e_a of ``train-audio`` is multiplied by, so that it has a spread of 1 over the training frames.

    Cosines decide Eq. 2, so e_a comes with any length (0.3 was seen), and the few steps of the fast preset are not
    enough for its projection to make up for that. The paper preset takes e_a as it is.
    """
    if inputs is None or inputs.audio is None or config.preset == "paper":
        return 1.0
    windows = torch.from_numpy(data.audio[data.train]).float()
    embeddings = torch.cat([inputs.audio.model(part) for part in windows.split(2048)])
    spread = float(embeddings.var(0).mean().sqrt())
    # rounded: the last digits depend on the number of threads, and a run that goes on must have the same
    return float(f"{1 / max(spread, 1e-6):.4g}")


def frozen_modules(inputs: LearnedInputs) -> dict[str, torch.nn.Module]:
    """What is stored with the head, unchanged, for rendering."""
    return {"expression_transformer": inputs.expression.model} if inputs.expression else {}


def named_means(data: PersonFrames) -> dict[str, np.ndarray]:
    """Mean expression vector [E] of each emotion and of each clip, by name: what ``render --expression NAME`` takes."""
    found: dict[str, list[np.ndarray]] = {}
    for number, clip in enumerate(data.clips):
        rows = data.expression[(data.clip_of == number) & data.valid]
        if not len(rows):
            continue
        emotion = describe(clip.folder).emotion
        for name in {clip.folder.resolve().name, emotion} - {None}:
            found.setdefault(str(name), []).append(rows)
    return {name: np.concatenate(rows).mean(0).astype(np.float32) for name, rows in found.items()}
