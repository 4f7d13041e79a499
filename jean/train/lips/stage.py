"""Training of the lip prior: ``jean train-lips``.

Synthetic speech with known phonemes teaches the network what the sounds are; real lips then teach how people move. The
loss on real lips is minus the correlation of opening and width, because their range and rest differ between people and
trackers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.checkpoint import load_checkpoint
from jean.clips.corpus import find_clips, people
from jean.clips.meta import ARRAYS_FILE
from jean.drivers.face_frames import split_people
from jean.environment import pick_device
from jean.errors import UsageError
from jean.files import write_safetensors
from jean.lips.parameters import OPENING, WIDTH
from jean.lips.prior import PRIOR_FILE, QUANTILES, LipPrior, load_prior
from jean.lips.spectrum import normalise, speaking
from jean.progress import Progress
from jean.train.engine import ranks
from jean.train.engine.epoch_config import claim_run, fingerprint
from jean.train.engine.epoch_stage import GradientStage, step_generator
from jean.train.engine.loop import run
from jean.train.lips.config import LipsConfig
from jean.train.lips.data import (
    BEFORE,
    EXCERPT,
    AlignedLips,
    RealLips,
    SyntheticSpeech,
    real_batch,
    synthetic_speech,
)

VALIDATION_FRACTION = 0.2
PHONEME_WEIGHT = 0.3  # of the cross-entropy of the phonemes, beside the squared error of the lips


class LipsStage(GradientStage):
    """The stage of the training loop: first steps on synthetic speech, if any, then steps on real lips.

    Args:
        train: clips to train on.
        validation: clips of people who are not trained on; may be empty.
        synthetic: synthetic speech; None without synthetic steps.
        start: the prior to begin with; None for random weights.
        config: of the stage.
        device: where to train.
    """

    name = "lips"

    def __init__(
        self,
        train: Sequence[RealLips],
        validation: Sequence[RealLips],
        synthetic: SyntheticSpeech | None,
        start: LipPrior | None,
        config: LipsConfig,
        device: torch.device,
    ):
        self.train, self.validation, self.synthetic = train, validation, synthetic
        self.config, self.device = config, device
        torch.manual_seed(config.seed)
        self.model, self.anchor = LipPrior(config.dropout).to(device), LipPrior().to(device)
        if start is not None:
            self.model.load_state_dict(start.state_dict())
            self.anchor.load_state_dict(start.state_dict())
        adam = torch.optim.AdamW(self.model.parameters(), lr=config.learning_rate, weight_decay=0.01)
        modules: dict[str, torch.nn.Module] = {"model": self.model, "anchor": self.anchor}
        super().__init__(modules, {"adam": adam}, config.synthetic_steps + config.steps, config.seed)
        self._aligned: list[AlignedLips] = []  # the training clips, once the anchor is known

    def step(self, step: int) -> dict[str, float]:
        """Takes one step on synthetic speech or on real lips."""
        random = step_generator(step, self.config.seed, own=True)
        torch.manual_seed(int(random.integers(1 << 40)))  # dropout
        if step == self.config.synthetic_steps and self.synthetic is not None:
            self.anchor.load_state_dict(self.model.state_dict())
            self.optimisers["adam"].state.clear()  # real lips begin as they do from the package's prior
        loss = self._synthetic_loss(random) if step < self.config.synthetic_steps else self._real_loss(random)
        for group in self.optimisers["adam"].param_groups:
            group["lr"] = self._rate(step)
        value = self.take_step(loss)
        if step < self.config.synthetic_steps:  # the statistics of batch normalisation
            ranks.average(buffer for buffer in self.model.buffers() if buffer.is_floating_point())
        if step == self.steps - 1:
            self._measure_quantiles()
        return {"loss": value}

    def _rate(self, step: int) -> float:
        """The learning rate: one cosine with a short rise on synthetic speech, constant on real lips."""
        total = self.config.synthetic_steps
        if step >= total:
            return self.config.learning_rate
        rise = min(1.0, (step + 1) / max(1, total // 10))
        return self.config.synthetic_rate * rise * 0.5 * (1 + math.cos(math.pi * step / total))

    def _synthetic_loss(self, random: np.random.Generator) -> Tensor:
        assert self.synthetic is not None
        self.model.train()
        spectra, lips, phonemes = (
            self._tensor(a) for a in self.synthetic.batch(ranks.share_size(self.config.batch), random)
        )
        predicted, logits = self.model(spectra.float())
        classes = torch.nn.functional.cross_entropy(logits.flatten(0, 1), phonemes.flatten())
        return (predicted - lips.float()).square().mean() + PHONEME_WEIGHT * classes

    def _real_loss(self, random: np.random.Generator) -> Tensor:
        if not self._aligned:
            self._aligned = [clip.aligned(self.anchor) for clip in self.train]
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.eval()  # a few people's statistics must not replace those of many voices
        size = ranks.share_size(self.config.batch)
        spectra, lips, weights = (self._tensor(a) for a in real_batch(self._aligned, size, random))
        predicted = self.model(spectra)[0][:, BEFORE : BEFORE + EXCERPT]
        with torch.no_grad():
            before = self.anchor.eval()(spectra)[0][:, BEFORE : BEFORE + EXCERPT]
        r = weighted_correlation(predicted[..., [OPENING, WIDTH]], lips, weights[..., None])
        return self.config.anchor * (predicted - before).square().mean() - r.mean(0).sum()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    @torch.no_grad()
    def _predict(self, power: np.ndarray) -> np.ndarray:
        """Lip parameters [N, 5] of mel power [N, 64]."""
        return np.asarray(self.model.eval()(self._tensor(normalise(power))[None])[0][0].cpu().numpy())

    def _measure_quantiles(self) -> None:
        """Stores the range of each parameter over the training speech."""
        powers = [clip.power for clip in self.train]
        if self.synthetic is not None:
            powers += self.synthetic.power[:200]
        values = np.concatenate([self._predict(power)[speaking(power)] for power in powers])
        self.model.quantiles.copy_(torch.from_numpy(np.quantile(values, QUANTILES, axis=0).T.copy()))

    def evaluate(self, step: int) -> dict[str, float]:
        """Mean correlations of predicted and measured lips, of the validation people, or else of the training people.

        Each clip counts with its best lag within ±0.12 s, as natural lips lead the sound by up to this.
        """
        clips, group = (self.validation, "validation") if self.validation else (self.train, "train")
        r = np.array([(sync.r_opening, sync.r_width) for sync in (clip.sync(self.model) for clip in clips)]).mean(0)
        return {f"{group}_r_opening": float(r[0]), f"{group}_r_width": float(r[1])}


def weighted_correlation(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Correlation over dimension 1 of two tensors [B, L, C] with weights [B, L, 1]: [B, C]."""
    weight = weight / weight.sum(1, keepdim=True)
    first = first - (weight * first).sum(1, keepdim=True)
    second = second - (weight * second).sum(1, keepdim=True)
    norm = ((weight * first.square()).sum(1) * (weight * second.square()).sum(1)).clamp_min(1e-12).sqrt()
    return (weight * first * second).sum(1) / (norm + 1e-3)


@ranks.joined
def train_lips(data: Sequence[Path], output: Path, config: LipsConfig, progress: Progress) -> dict[str, Any]:
    """Trains the lip prior on real lips, or resumes an interrupted run; writes ``prior.safetensors`` in the end.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``), with sound; tracks alone suffice.
        output: the run folder, which ``render --lips`` takes.
        config: of the stage.
        progress: receives messages, warnings and the progress.

    Returns:
        Mean correlations of opening and width (``validation_r_opening`` …), ``steps``, ``seconds``, and counts.

    Raises:
        InputError, UsageError: unusable data, see ``find_clips``, ``RealLips`` and ``split_people``.
        SetupError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    clips = sorted(find_clips(data, config.table), key=lambda clip: (clip.person, clip.name))
    claim_run(output, clips, data)
    names = None if config.validation is None else [name for name in config.validation if name != "none"]
    if config.validation is not None and not names:
        train_clips, validation_clips = clips, clips[:0]
    elif len(people(clips)) == 1 and not names:
        raise UsageError("there is only one person.", "Give clips of several people, or --set validation=none.")
    else:
        train_clips, validation_clips = split_people(clips, VALIDATION_FRACTION, names, config.seed)
    counts = {"clips": len(clips), "people": len(people(clips)), "validation_people": len(people(validation_clips))}
    progress.say(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    with progress.task("read clips", len(clips)) as advance:
        groups: list[list[RealLips]] = [[], []]
        for group, members in zip(groups, (train_clips, validation_clips), strict=True):
            for clip in members:
                group.append(RealLips.read(clip))
                advance(1)
    builtin = None if config.synthetic_steps else load_prior()
    synthetic = None
    if config.synthetic_steps:
        synthetic = synthetic_speech(config.synthetic_minutes, config.voices, config.seed, progress)
    stage = LipsStage(groups[0], groups[1], synthetic, builtin, config, torch.device(pick_device(config.device)))
    compared = fingerprint(config, clips, ARRAYS_FILE)
    meta = {"held_out": people(validation_clips), **counts}
    result = run(stage, output, stage.schedule(), progress, config=compared, meta=meta) | counts
    if not ranks.is_first():
        return result
    trained = load_checkpoint(output, stage=LipsStage.name, warn=progress.warn).module_state("model")
    half = {name: value.half() for name, value in trained.items()}
    write_safetensors(output / PRIOR_FILE, half)
    return result
