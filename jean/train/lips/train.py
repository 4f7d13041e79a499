"""Training of the lip prior: ``jean train-lips``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from jean.checkpoint import load_checkpoint
from jean.clips.corpus import CorpusClip, find_clips, people
from jean.clips.meta import ARRAYS_FILE
from jean.drivers.face_frames import split_people
from jean.environment import pick_device
from jean.errors import UsageError
from jean.features import registry
from jean.files import sha256
from jean.lips.inputs import FeatureInput, PriorInput
from jean.lips.prior import PRIOR_FILE, LipPrior, load_prior, prior_of_run, save_prior
from jean.media import read_audio
from jean.progress import Progress
from jean.train.engine import ranks
from jean.train.engine.epoch_config import claim_run, fingerprint
from jean.train.engine.loop import run
from jean.train.lips.config import LipsConfig
from jean.train.lips.data import LabelledSpeech, RealLips, spoken_sentences
from jean.train.lips.recordings import Recorder, statistics
from jean.train.lips.stage import Lessons, LipsStage
from jean.train.lips.teaching import Teacher, sound_files

VALIDATION_FRACTION = 0.2


@ranks.joined
def train_lips(data: Sequence[Path], output: Path, config: LipsConfig, progress: Progress) -> dict[str, Any]:
    """Trains the lip prior, or resumes an interrupted run; writes ``prior.safetensors`` in the end.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``), with sound; tracks alone suffice.
        output: the run folder, which ``render --lips`` takes.
        config: of the stage.
        progress: receives messages, warnings and the progress.

    Returns:
        Mean correlations of opening and width (``validation_r_opening`` …), ``steps``, ``seconds``, and counts.

    Raises:
        InputError, UsageError: unusable data, see ``find_clips``, ``RealLips`` and ``split_people``.
        SetupError: features, synthesizers or memory are missing.
        DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    clips = sorted(find_clips(data, config.table), key=lambda clip: (clip.person, clip.name))
    priors = {name: path for name in ("start", "teacher") if (path := getattr(config, name)) is not None}
    files = {name: prior_of_run(path) for name, path in priors.items()}
    claim_run(output, clips, data, [*priors.values(), *config.speech])
    train_clips, validation_clips = _split(clips, config)
    counts = {"clips": len(clips), "people": len(people(clips)), "validation_people": len(people(validation_clips))}
    progress.say(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    model = _beginning(config, files.get("start"))
    recorder = Recorder(model.source, config.feature_copies, config.seed)
    teacher = Teacher(load_prior(files["teacher"]), recorder) if "teacher" in files else None
    lessons = _lessons(train_clips, validation_clips, config, recorder, teacher, progress)
    if not model.source.standardised and "start" not in files:
        model.standardise(*statistics(lessons.recordings(), model.source.width))
    stage = LipsStage(lessons, model, config, torch.device(pick_device(config.device)))
    compared = fingerprint(config, clips, ARRAYS_FILE) | {
        f"{name}_sha256": sha256(file) for name, file in files.items()
    }
    meta = {"held_out": people(validation_clips), **counts}
    result = run(stage, output, stage.schedule(), progress, config=compared, meta=meta) | counts
    if ranks.is_first():
        trained = load_checkpoint(output, stage=LipsStage.name, warn=progress.warn).module_state("model")
        save_prior(output / PRIOR_FILE, trained, model.source)
    return result


def _split(clips: list[CorpusClip], config: LipsConfig) -> tuple[list[CorpusClip], list[CorpusClip]]:
    """Clips to train on, and those of people who are held out."""
    names = None if config.validation is None else [name for name in config.validation if name != "none"]
    if config.validation is not None and not names:
        return clips, []
    if len(people(clips)) == 1 and not names:
        raise UsageError("there is only one person.", "Give clips of several people, or --set validation=none.")
    return split_people(clips, VALIDATION_FRACTION, names, config.seed)


def _beginning(config: LipsConfig, start: Path | None) -> LipPrior:
    """The prior to begin with, in the dropout of the configuration."""
    torch.manual_seed(config.seed)
    known = None
    if start is not None:
        known = load_prior(start)
    elif not config.synthetic_steps and config.features is None:
        known = load_prior()
    source: PriorInput | None = None if known is None else known.source
    if config.features is not None:
        read = source.facts.features if isinstance(source, FeatureInput) else "the spectrum"
        if known is None:
            source = FeatureInput.of(registry.create("audio", config.features))
        elif read != config.features:
            raise UsageError(
                f"the prior of {config.start} reads {read}, not {config.features}.", "Choose another start."
            )
    prior = LipPrior(config.dropout, source=source)
    if known is not None:
        prior.load_state_dict(known.state_dict())
    return prior


def _lessons(
    train_clips: Sequence[CorpusClip],
    validation_clips: Sequence[CorpusClip],
    config: LipsConfig,
    recorder: Recorder,
    teacher: Teacher | None,
    progress: Progress,
) -> Lessons:
    """Reads the clips, makes synthetic speech, and lets the teacher label both and all other speech."""
    sounds = sound_files(config.speech)  # before any work
    real: list[RealLips] = []
    validation: list[RealLips] = []
    with progress.task("read clips", len(train_clips) + len(validation_clips)) as advance:
        for group, members in ((real, train_clips), (validation, validation_clips)):
            for clip in members:
                lips = RealLips.read(clip, recorder)
                if teacher is None or lips.move:
                    group.append(lips)
                if teacher is not None and group is real:
                    teacher.label(read_audio(clip.open().sound()))
                advance(1)
    if config.steps and not real:
        raise UsageError("no clip to train on shows moving lips.", "Add --steps 0, or clips with a face.")
    synthetic = LabelledSpeech() if config.synthetic_steps else None
    if synthetic is not None or teacher is not None:
        for wave, targets, classes in spoken_sentences(config.synthetic_minutes, config.voices, config.seed, progress):
            if synthetic is not None:
                synthetic.add(recorder.record(wave), targets, classes)
            if teacher is not None:
                teacher.label(wave)
    if synthetic is not None:
        synthetic.standardise_lips()
    if teacher is not None:
        for path in sounds:
            teacher.label(read_audio(path))
    return Lessons(synthetic, None if teacher is None else teacher.speech, real, validation)
