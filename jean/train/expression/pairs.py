"""Which pairs of clips an expression transformer learns from, and which it is validated on (section 8.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.clips.corpus import CorpusClip, find_clips, people, same_sentence_pairs
from jean.drivers.emotion import BLENDSHAPES
from jean.errors import InputError, UsageError
from jean.train.expression.config import ExpressionConfig

Pair = tuple[CorpusClip, CorpusClip]


@dataclass(frozen=True)
class Pairs:
    """Pairs of one person's clips that say the same in two emotions.

    Attributes:
        person: who.
        features: name of the emotion features to take.
        train, validation: the pairs.
    """

    person: str
    features: str
    train: list[Pair]
    validation: list[Pair]

    def clips(self) -> list[CorpusClip]:
        """Every clip of all pairs once, by name."""
        used = {clip.name: clip for pair in [*self.train, *self.validation] for clip in pair}
        return [used[name] for name in sorted(used)]


def find_pairs(data: Sequence[Path], config: ExpressionConfig) -> Pairs:
    """The pairs among the clips below the DATA folders.

    Raises:
        UsageError: several people and none chosen, or a name that is not there.
        InputError: no sentence in two emotions.
    """
    clips = find_clips(data, config.table)
    everybody = people(clips)
    if config.person is not None:
        if config.person not in everybody:
            raise UsageError(f"nobody is called {config.person!r}.", f"People: {', '.join(everybody)}.")
        clips = [clip for clip in clips if clip.person == config.person]
    elif len(everybody) > 1:
        raise UsageError(
            f"the clips show {len(everybody)} people, and a transformer is for one (section 8.3.2).",
            f"Choose with --person: {', '.join(everybody)}",
        )
    if config.emotions is not None:
        clips = [clip for clip in clips if clip.emotion in config.emotions]
    features = config.emotion_features or _features_of(clips)
    pairs = list(same_sentence_pairs(clips))
    if not pairs:
        raise InputError(
            "no sentence is there in two emotions.",
            "Name clips EMOTION_NUMBER, keep MEAD's layout, or give a --table with emotion and sentence.",
        )
    return Pairs(clips[0].person, features, *split_pairs(pairs, config))


def split_pairs(pairs: Sequence[Pair], config: ExpressionConfig) -> tuple[list[Pair], list[Pair]]:
    """Pairs to train on and pairs to validate on: 60 and the rest (section 8.3.1), or ``held_out`` sentences.

    Raises:
        UsageError: a sentence that is not there, or none left to train on.
    """
    if config.held_out:
        unknown = set(config.held_out) - {str(a.sentence) for a, _ in pairs}
        if unknown:
            raise UsageError(f"no pair says sentence {min(unknown)!r}.", "Name sentences as their clips are named.")
        train = [pair for pair in pairs if pair[0].sentence not in config.held_out]
        validation = [pair for pair in pairs if pair[0].sentence in config.held_out]
    else:
        count = min(config.train_pairs, max(1, round(len(pairs) * 60 / 84)))
        order = np.random.default_rng([0xD7, config.seed]).permutation(len(pairs))
        train, validation = [pairs[i] for i in sorted(order[:count])], [pairs[i] for i in sorted(order[count:])]
    if not train:
        raise UsageError("every sentence is held out.", "Leave some to train on.")
    return train, validation or train


def _features_of(clips: Sequence[CorpusClip]) -> str:
    """The first clip's first emotion features, its blendshapes where it has none."""
    if not clips:
        raise InputError("no clip has one of the emotions.", "See --set emotions=null")
    return next(iter(clips[0].open().meta.get("emotion") or {}), BLENDSHAPES)
