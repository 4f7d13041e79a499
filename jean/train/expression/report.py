"""What e_e of an expression transformer tells: speech, which it should not, and the emotion, which it should.

No ground truth is used. Speech is what ``jean.train.expression.speech`` measures. Probes read them from e_e by a
line and by a kernel (``jean.metrics.probes``), on sentences that the probes have not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jean.clips.clip import Clip
from jean.clips.corpus import CorpusClip
from jean.drivers.slow import window_mean
from jean.metrics.probes import class_accuracy, kernel_r2, ridge_r2
from jean.models.expression_transformer import ExpressionTransformer
from jean.train.expression.disentangle import MIN_CORRELATION
from jean.train.expression.speech import MOUTH_COMPONENTS, SOUND_COMPONENTS, components, project, spoken_tracks

LEAK = 0.1  # R² of speech in e_e above which training warns
SLOW_S = 1.0  # window of the slow e_e, the default of ``train-nerf``
TEST_FRACTION = 0.25  # of the sentences, for the probes
ROWS = 4000  # frames per side at most


@dataclass(frozen=True)
class Told:
    """Tracks of some clips in sequence: what the probes read, and from what.

    Attributes:
        expression, slow: e_e, and its mean over ``SLOW_S``, [T, W] each.
        mouth: quick motion of the lips [T, 40].
        sound: quick part of the sound [T, D]; None where a clip has none.
        emotion: name of the emotion per frame, [T].
    """

    expression: np.ndarray
    slow: np.ndarray
    mouth: np.ndarray
    sound: np.ndarray | None
    emotion: np.ndarray

    @classmethod
    def of(cls, clips: Sequence[CorpusClip], model: ExpressionTransformer, features: str) -> Told:
        """Reads the tracks of ``clips``.

        Args:
            clips: of one person.
            model: the transformer.
            features: name of the emotion features that it takes.
        """
        parts = [_tracks(clip.open(), model, features) for clip in clips]
        sounds = [part[3] for part in parts]
        emotions = [np.full(len(part[0]), clip.emotion or "") for part, clip in zip(parts, clips, strict=True)]
        step = max(1, sum(map(len, emotions)) // ROWS)

        def joined(column: int) -> np.ndarray:
            return np.concatenate([part[column] for part in parts])[::step]

        sound = None if any(each is None for each in sounds) else joined(3)
        return cls(joined(0), joined(1), joined(2), sound, np.concatenate(emotions)[::step])


def _tracks(
    clip: Clip, model: ExpressionTransformer, features: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    expression = model.embed_track(clip.emotion_track(features))[1]
    mouth, sound = spoken_tracks(clip)
    return expression, window_mean(expression, clip.fps, SLOW_S), mouth, sound


def split_sentences(clips: Sequence[CorpusClip]) -> tuple[list[CorpusClip], list[CorpusClip]]:
    """Clips for fitting and for testing the probes; no sentence is in both. Empty with a single sentence.

    Args:
        clips: with their sentences.
    """
    sentences = sorted({str(clip.sentence) for clip in clips})
    held_out = set(sentences[len(sentences) - round(max(1, TEST_FRACTION * len(sentences))) :])
    if len(sentences) < 2:
        return [], []
    train = [clip for clip in clips if str(clip.sentence) not in held_out]
    return train, [clip for clip in clips if str(clip.sentence) in held_out]


def leak_report(clips: Sequence[CorpusClip], model: ExpressionTransformer, features: str) -> dict[str, float]:
    """R² of speech in e_e, and how often e_e names the emotion.

    Args:
        clips: of one person.
        model: the transformer.
        features: name of the emotion features that it takes.

    Returns:
        ``mouth_r2``, ``mouth_kernel_r2``, ``sound_r2``, ``sound_kernel_r2`` of e_e; the same with the prefix ``slow_``
        of its mean over a second; ``emotion_accuracy``. Empty with a single sentence.
    """
    sides = split_sentences(clips)
    if not sides[0]:
        return {}
    train, test = (Told.of(side, model, features) for side in sides)
    result = {}
    for name, count in (("mouth", MOUTH_COMPONENTS), ("sound", SOUND_COMPONENTS)):
        seen, unseen = getattr(train, name), getattr(test, name)
        if seen is None or unseen is None:
            continue
        projection = components(seen, count)
        known, asked = project(seen, projection), project(unseen, projection)
        for prefix, inputs, others in (("", train.expression, test.expression), ("slow_", train.slow, test.slow)):
            result[f"{prefix}{name}_r2"] = ridge_r2(inputs, known, others, asked)
            result[f"{prefix}{name}_kernel_r2"] = kernel_r2(inputs, known, others, asked)
    if len(set(train.emotion)) > 1:
        result["emotion_accuracy"] = class_accuracy(train.expression, train.emotion, test.expression, test.emotion)
    return {name: round(float(value), 3) for name, value in result.items()}


def shared_directions(correlations: np.ndarray) -> dict[str, float]:
    """How many directions of (e_l, e_e) the two sides of aligned pairs share, and the largest correlation.

    Args:
        correlations: canonical correlations, falling (``jean.train.expression.disentangle``).
    """
    return {
        "shared_directions": int((correlations > MIN_CORRELATION).sum()),
        "largest_shared_correlation": round(float(correlations[0]), 3),
    }


def warnings(report: dict[str, float]) -> list[str]:
    """One line for each kind of speech that e_e tells, and one if the pairs share nothing."""
    lines = []
    if not report["shared_directions"]:
        lines.append(
            "the two sides of the aligned pairs share nothing (largest correlation "
            f"{report['largest_shared_correlation']:.2f}), so e_l holds no speech: do the clips of a pair say the same?"
        )
    for name in ("mouth", "sound"):
        value = report.get(f"{name}_kernel_r2", 0.0)
        if value > LEAK:
            slow = report[f"slow_{name}_kernel_r2"]
            lines.append(
                f"e_e tells {value:.0%} of the {'lips' if name == 'mouth' else 'sound'} on other sentences (a kernel "
                f"reads it; a line {report[f'{name}_r2']:.0%}); its mean over a second tells {max(slow, 0):.0%}: see "
                "train-nerf --set expression_window_s."
            )
    return lines
