"""Judges of generated motion, trained on true motion of people whom the model's critics did not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from motion_systems import Moved
from torch import nn

from jean.drivers.motion_sampling import NEW, PAST
from jean.drivers.motion_sound import WIDTH as SOUND_WIDTH
from jean.drivers.motion_vector import CUES, WIDTH
from jean.train.motion.critics import PAIRS, SOUND_PAIRS, Critics, WindowEncoder
from jean.train.motion.data import Windows
from jean.train.motion.losses import SURE_STRENGTH

STEPS, BATCH, SEED = 300, 48, 911  # another seed than the critics'
CUE_NAMES = (*CUES, "blink", "all")


@dataclass(frozen=True)
class Judges:
    """Trained judges.

    Attributes:
        critics: of emotion and agreement, see ``jean.train.motion.critics``.
        blink: tells the emotion from the closure of the eyes.
        mean, std: of the sound features.
    """

    critics: Critics
    blink: WindowEncoder
    mean: np.ndarray
    std: np.ndarray

    @torch.no_grad()
    def right(self, moved: list[Moved], labels: list[int]) -> dict[str, float]:
        """Fraction of the windows whose emotion each judge recognises."""
        hits: dict[str, list[bool]] = {name: [] for name in CUE_NAMES}
        for motion, label in zip(moved, labels, strict=True):
            windows, closures = _cut(motion.vectors), _cut(motion.closure[:, None])
            for name, judge in self.critics.emotion.items():
                part = windows if name == "all" else windows[..., CUES[name]]
                hits[name] += (judge(part).argmax(1) == label).tolist()
            hits["blink"] += (self.blink(closures).argmax(1) == label).tolist()
        return {name: round(float(np.mean(values)), 3) for name, values in hits.items()}

    @torch.no_grad()
    def cohesion(self, moved: list[Moved], labels: list[int], sounds: list[np.ndarray]) -> dict[str, float]:
        """AUC of the agreement of a window's own cues against those of other windows of the same emotion."""
        codes: dict[str, list[torch.Tensor]] = {name: [] for name in (*CUES, "sound")}
        groups = []
        for motion, label, sound in zip(moved, labels, sounds, strict=True):
            windows = _cut(motion.vectors)
            heard = _cut(np.clip((sound - self.mean) / self.std, -4, 4))
            for name in CUES:
                codes[name].append(self._code(name, windows[..., CUES[name]]))
            codes["sound"].append(self._code("sound", heard))
            groups += [label] * len(windows)
        joined = {name: torch.cat(parts).numpy() for name, parts in codes.items()}
        same = np.equal.outer(groups, groups)
        pairs = {"cues": PAIRS, "sound": tuple((name, "sound") for name in SOUND_PAIRS)}
        return {
            key: round(float(np.mean([_auc(joined[a] @ joined[b].T, same) for a, b in each])), 3)
            for key, each in pairs.items()
        }

    def _code(self, name: str, values: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.critics.agreement[name](values), dim=-1)


def train_judges(windows: Windows, closures: list[np.ndarray], mean: np.ndarray, std: np.ndarray) -> Judges:
    """Trains the judges.

    Args:
        windows: of people whom the models' critics have not seen.
        closures: closure of the eyes of each clip [T].
        mean, std: of the sound features.
    """
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    among = np.arange(len(windows.clips))
    kinds = len(windows.emotions) + 1
    critics, blink = Critics(WIDTH, SOUND_WIDTH, kinds), WindowEncoder(1, kinds)
    adam = torch.optim.Adam([*critics.parameters(), *blink.parameters()], lr=2e-3)
    for _ in range(STEPS):
        places = _places(windows, among, random)
        batch = windows.take(places)
        new = torch.from_numpy(batch.vectors[:, PAST:])
        label = torch.from_numpy(batch.label)
        complete = torch.from_numpy(batch.inside[:, PAST:].min(1) > 0)
        sure = complete & ((label == 0) | (torch.from_numpy(batch.strength) > SURE_STRENGTH))
        context = (batch.sound.shape[1] - batch.vectors.shape[1]) // 2
        heard = (batch.sound[:, context + PAST : context + PAST + NEW] - mean) / std
        sound = torch.from_numpy(np.clip(heard, -4, 4).astype(np.float32))
        shut = np.stack([_window(closures[clip], start) for clip, start in places])
        lids = torch.from_numpy(shut[..., None].astype(np.float32))
        loss = critics.emotion_loss(new, label, sure) + sum(critics.agreement_losses(new, sound, label, complete))
        if bool(sure.any()):
            loss = loss + nn.functional.cross_entropy(blink(lids[sure]), label[sure])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return Judges(critics.eval(), blink.eval(), mean, std)


def _places(windows: Windows, among: np.ndarray, random: np.random.Generator) -> list[tuple[int, int]]:
    picks = random.choice(among, BATCH)
    return [(int(index), int(random.integers(windows.starts[index]))) for index in picks]


def _window(track: np.ndarray, start: int) -> np.ndarray:
    return np.pad(track, (0, NEW))[start : start + NEW]


def _cut(values: np.ndarray) -> torch.Tensor:
    """Windows [N, NEW, D] of a track [T, D], half overlapping."""
    starts = range(0, max(1, len(values) - NEW + 1), NEW // 2)
    return torch.from_numpy(np.stack([values[start : start + NEW] for start in starts]).astype(np.float32))


def _auc(scores: np.ndarray, same: np.ndarray) -> float:
    """Probability that a window's own score exceeds one with another window of the same emotion."""
    own = np.diag(scores)
    others = same & ~np.eye(len(scores), dtype=bool)
    wins = [float((own[i] > scores[i, others[i]]).mean()) for i in range(len(scores)) if others[i].any()]
    return float(np.mean(wins))
