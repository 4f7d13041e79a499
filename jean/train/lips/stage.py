"""Optimisation steps of the lip prior's training.

Synthetic speech with known phonemes teaches the network what the sounds are; a teacher, if there is one, tells the lips
of any other speech; real lips then teach how people move. The loss on real lips is minus the correlation of opening and
width, because their range and rest differ between people and trackers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jean.lips.parameters import OPENING, WIDTH
from jean.lips.prior import QUANTILES, LipPrior
from jean.train.engine import ranks
from jean.train.engine.epoch_stage import GradientStage, step_generator
from jean.train.lips.config import LipsConfig
from jean.train.lips.data import BEFORE, EXCERPT, AlignedLips, LabelledSpeech, RealLips, real_batch
from jean.train.lips.recordings import TrainingRecording

PHONEME_WEIGHT = 0.3  # of the cross-entropy of the phonemes, beside the squared error of the lips
QUANTILE_RECORDINGS = 200  # of each kind of labelled speech, whose range of lip parameters is measured


@dataclass(frozen=True)
class Lessons:
    """What a prior learns from, in this order.

    Attributes:
        synthetic: synthetic speech, labelled by rules; None without its steps.
        taught: speech that the teacher labelled; None without one.
        real: clips with measured lips; may be empty where there are no steps on them.
        validation: clips of people who are not trained on; may be empty.
    """

    synthetic: LabelledSpeech | None
    taught: LabelledSpeech | None
    real: Sequence[RealLips]
    validation: Sequence[RealLips]

    def recordings(self, most: int | None = None) -> list[TrainingRecording]:
        """All recordings to train on; of labelled speech the first ``most`` of each kind."""
        labelled = [speech.recordings[:most] for speech in (self.synthetic, self.taught) if speech is not None]
        return [*(clip.recording for clip in self.real), *(recording for part in labelled for recording in part)]


class LipsStage(GradientStage):
    """The stage of the training loop: steps on synthetic speech, on what a teacher tells, and on real lips.

    Args:
        lessons: the data.
        model: the network to begin with.
        config: of the stage.
        device: where to train.
    """

    name = "lips"

    def __init__(self, lessons: Lessons, model: LipPrior, config: LipsConfig, device: torch.device):
        self.lessons, self.config, self.device = lessons, config, device
        self.model = model.to(device)
        self.anchor = LipPrior(source=model.source).to(device)
        self.anchor.load_state_dict(model.state_dict())
        # first step of the teacher and of real lips
        self.taught_from = config.synthetic_steps if lessons.synthetic is not None else 0
        self.real_from = self.taught_from + (config.teacher_steps if lessons.taught is not None else 0)
        adam = torch.optim.AdamW(self.model.parameters(), lr=config.learning_rate, weight_decay=0.01)
        modules: dict[str, torch.nn.Module] = {"model": self.model, "anchor": self.anchor}
        super().__init__(modules, {"adam": adam}, self.real_from + config.steps, config.seed)
        self._aligned: list[AlignedLips] = []  # the training clips, once the anchor is known

    def step(self, step: int) -> dict[str, float]:
        """Takes one step on synthetic speech, on what the teacher tells, or on real lips."""
        random = step_generator(step, self.config.seed, own=True)
        torch.manual_seed(int(random.integers(1 << 40)))  # dropout
        if step in (self.taught_from, self.real_from) and step:
            self.optimisers["adam"].state.clear()  # each part begins as it would alone
        if step == self.real_from and step:
            self.anchor.load_state_dict(self.model.state_dict())
        lesson = self.lessons.synthetic if step < self.taught_from else self.lessons.taught
        real = step >= self.real_from
        loss = self._real_loss(random) if real or lesson is None else self._labelled_loss(lesson, random)
        for group in self.optimisers["adam"].param_groups:
            group["lr"] = self._rate(step)
        value = self.take_step(loss)
        if not real:  # the statistics of batch normalisation
            ranks.average(buffer for buffer in self.model.buffers() if buffer.is_floating_point())
        if step == self.steps - 1:
            self._measure_quantiles()
        return {"loss": value}

    def _rate(self, step: int) -> float:
        """The learning rate: a cosine with a short rise per kind of labelled speech; constant on real lips."""
        if step >= self.real_from:
            return self.config.learning_rate
        first, end = (0, self.taught_from) if step < self.taught_from else (self.taught_from, self.real_from)
        step, total = step - first, end - first
        rise = min(1.0, (step + 1) / max(1, total // 10))
        return self.config.synthetic_rate * rise * 0.5 * (1 + math.cos(math.pi * step / total))

    def _labelled_loss(self, speech: LabelledSpeech, random: np.random.Generator) -> Tensor:
        self.model.train()
        batch = speech.batch(ranks.share_size(self.config.batch), random)
        rows, lips, phonemes = (self._tensor(array) for array in batch)
        predicted, logits = self.model(rows.float())
        targets = phonemes.flatten(0, 1)  # classes, or the teacher's probabilities
        targets = targets.float() if targets.is_floating_point() else targets
        classes = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets)
        return (predicted - lips.float()).square().mean() + PHONEME_WEIGHT * classes

    def _real_loss(self, random: np.random.Generator) -> Tensor:
        if not self._aligned:
            self._aligned = [clip.aligned(self.anchor) for clip in self.lessons.real]
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.eval()  # a few people's statistics must not replace those of many voices
        size = ranks.share_size(self.config.batch)
        rows, lips, weights = (self._tensor(a) for a in real_batch(self._aligned, size, random))
        predicted = self.model(rows)[0][:, BEFORE : BEFORE + EXCERPT]
        with torch.no_grad():
            before = self.anchor.eval()(rows)[0][:, BEFORE : BEFORE + EXCERPT]
        r = weighted_correlation(predicted[..., [OPENING, WIDTH]], lips, weights[..., None])
        return self.config.anchor * (predicted - before).square().mean() - r.mean(0).sum()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    @torch.no_grad()
    def _measure_quantiles(self) -> None:
        """Stores the range of each parameter over the training speech."""
        values = []
        for recording in self.lessons.recordings(QUANTILE_RECORDINGS):
            lips = np.concatenate([piece[1] for piece in self.model.in_pieces(recording.as_is())])
            values.append(lips[recording.speaking])
        quantiles = np.quantile(np.concatenate(values), QUANTILES, axis=0)
        self.model.quantiles.copy_(torch.from_numpy(quantiles.T.copy()))

    def evaluate(self, step: int) -> dict[str, float]:
        """Mean correlations of predicted and measured lips, of the validation people, or else of the training people.

        Each clip counts with its best lag within ±0.12 s, as natural lips lead the sound by up to this.
        """
        validation, real = self.lessons.validation, self.lessons.real
        clips, group = (validation, "validation") if validation else (real, "train")
        if not clips:
            return {}
        r = np.array([(sync.r_opening, sync.r_width) for sync in (clip.sync(self.model) for clip in clips)]).mean(0)
        return {f"{group}_r_opening": float(r[0]), f"{group}_r_width": float(r[1])}


def weighted_correlation(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Correlation over dimension 1 of two tensors [B, L, C] with weights [B, L, 1]: [B, C]."""
    weight = weight / weight.sum(1, keepdim=True)
    first = first - (weight * first).sum(1, keepdim=True)
    second = second - (weight * second).sum(1, keepdim=True)
    norm = ((weight * first.square()).sum(1) * (weight * second.square()).sum(1)).clamp_min(1e-12).sqrt()
    return (weight * first * second).sum(1) / (norm + 1e-3)
