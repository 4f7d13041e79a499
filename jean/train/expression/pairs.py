"""Selects the pairs of clips that train and validate an expression transformer (section 8.3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.clips.corpus import CorpusClip, find_clips, people, same_sentence_pairs
from jean.drivers.sound_match import MatchedPairs, match_pairs
from jean.errors import InputError, UsageError
from jean.train.expression.config import ExpressionConfig

Pair = tuple[CorpusClip, CorpusClip]

_PAPER_FRACTION = 60 / 84  # fraction of the pairs that train in the paper (section 8.3.1)


@dataclass(frozen=True)
class Pairs:
    """Pairs of one person's clips with the same sentence in two emotions.

    Attributes:
        person: name of the person.
        features: name of the emotion features to train on.
        train: training pairs.
        validation: validation pairs.
        refused: pairs that were left out, because their sound says that the sentences differ.
        unchecked: pairs whose sound could not be compared.
    """

    person: str
    features: str
    train: list[Pair]
    validation: list[Pair]
    refused: int = 0
    unchecked: int = 0

    def clips(self) -> list[CorpusClip]:
        """All clips of the pairs, each once, sorted by name."""
        by_name = {clip.name: clip for pair in [*self.train, *self.validation] for clip in pair}
        return [by_name[name] for name in sorted(by_name)]


def find_pairs(
    data: Sequence[Path], config: ExpressionConfig, warn: Callable[[str], None] = lambda message: None
) -> Pairs:
    """Finds the pairs of one person in the DATA folders and splits them.

    Args:
        data: clip folders, or folders of them.
        config: of the stage.
        warn: receives what was found out about wrong pairs.

    Raises:
        UsageError: clips of several people and no person chosen, or an unknown person.
        InputError: no sentence in two emotions, or none whose sound agrees.
    """
    clips = find_clips(data, config.table)
    names = people(clips)
    if config.person is not None:
        if config.person not in names:
            raise UsageError(f"nobody is called {config.person!r}.", f"People: {', '.join(names)}.")
        clips = [clip for clip in clips if clip.person == config.person]
    elif len(names) > 1:
        raise UsageError(
            f"the clips show {len(names)} people, and a transformer is for one (section 8.3.2).",
            f"Choose with --person: {', '.join(names)}",
        )
    if config.emotions is not None:
        clips = [clip for clip in clips if clip.emotion in config.emotions]
    features = config.emotion_features or _default_features(clips)
    pairs = list(same_sentence_pairs(clips))
    if not pairs:
        raise InputError(
            "no sentence is present in two emotions.",
            "Name clips EMOTION_NUMBER, keep MEAD's layout, or give a --table with emotion and sentence.",
        )
    matched = match_pairs(pairs) if config.check_sound else MatchedPairs(pairs, [], None, len(pairs))
    if matched.refused:
        (a, b), cost = max(matched.refused, key=lambda each: each[1])
        warn(
            f"{len(matched.refused)} of {len(pairs)} pairs are left out: their sound is that of "
            f"different sentences, for example {a.name} and {b.name} ({cost:.2f}, limit {matched.limit:.2f})."
        )
    if config.check_sound and matched.limit is None:
        warn("there are too few different sentences with sound to find out whether pairs say the same.")
    if not matched.kept:
        raise InputError(
            f"in none of {len(pairs)} pairs the sound agrees.",
            "Check the sentences of the clips, or use them as they are: --set check_sound=false",
        )
    split = split_pairs(matched.kept, config)
    return Pairs(clips[0].person, features, *split, refused=len(matched.refused), unchecked=matched.unchecked)


def split_pairs(pairs: Sequence[Pair], config: ExpressionConfig) -> tuple[list[Pair], list[Pair]]:
    """Splits pairs into training and validation pairs.

    Args:
        pairs: all pairs.
        config: ``held_out`` names sentences that validate. Otherwise ``train_pairs`` random pairs train and the others
            validate; of fewer than 84 pairs the same fraction trains.

    Returns:
        Training and validation pairs. With a single pair, both are that pair.

    Raises:
        UsageError: an unknown sentence, or no pair left for training.
    """
    if config.held_out:
        unknown = set(config.held_out) - {str(a.sentence) for a, _ in pairs}
        if unknown:
            raise UsageError(f"no pair says sentence {min(unknown)!r}.", "Name sentences as their clips are named.")
        train = [pair for pair in pairs if pair[0].sentence not in config.held_out]
        validation = [pair for pair in pairs if pair[0].sentence in config.held_out]
    else:
        count = min(config.train_pairs, max(1, round(len(pairs) * _PAPER_FRACTION)))
        order = np.random.default_rng([0xD7, config.seed]).permutation(len(pairs))
        train, validation = [pairs[i] for i in sorted(order[:count])], [pairs[i] for i in sorted(order[count:])]
    if not train:
        raise UsageError("every sentence is held out.", "Leave some to train on.")
    return train, validation or train


def _default_features(clips: Sequence[CorpusClip]) -> str:
    """Name of the first clip's first emotion features, or "blendshapes" if it has none."""
    if not clips:
        raise InputError("no clip has one of the emotions.", "See --set emotions=null")
    return next(iter(clips[0].open().emotion_specs))
