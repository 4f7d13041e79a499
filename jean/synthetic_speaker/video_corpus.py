"""Writes a corpus of synthetic videos: several people say the same sentences in several emotions.

The folder layout is plain or that of MEAD (Wang et al., 2020).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jean.clips import mead
from jean.errors import UsageError
from jean.files import write_text
from jean.synthetic_speaker.language import make_sentence
from jean.synthetic_speaker.speaker import Speaker, build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speaker_motion import EMOTIONS
from jean.synthetic_speaker.speaker_video import write_speaker_video

LEVELS = {1: 0.4, 2: 0.7, 3: 1.0}  # emotion strength of MEAD's three intensity levels
LAYOUTS = ("plain", "mead")


@dataclass(frozen=True)
class CorpusItem:
    """One video of a corpus.

    Attributes:
        person: name in the corpus, such as ``M003``.
        identity_seed: seed of the person's identity.
        emotion: one of ``speaker_motion.EMOTIONS``.
        level: intensity, 1 to 3.
        sentence: number of the sentence, from 1.
        text: the sentence, or several with ". " between them.
        video: path of the mp4.
        cohesion: see ``performance.perform``.
        hard: whether the motion is that of ``hard_motion``; None for no. Videos are always plain.
    """

    person: str
    identity_seed: int
    emotion: str
    level: int
    sentence: int
    text: str
    video: Path
    cohesion: float = 0.0
    hard: bool | None = None


def plan_corpus(
    folder: str | Path,
    people: int = 2,
    sentences: int | Sequence[int] = 4,
    emotions: tuple[str, ...] = EMOTIONS,
    level: int = 3,
    layout: str = "plain",
    seed: int = 0,
) -> list[CorpusItem]:
    """Lists all videos of a corpus in order; writes nothing.

    Neutral has level 1 only, as in MEAD. In MEAD's layout, numbers above 13 are another text in each
    emotion. Arguments as in ``write_video_corpus``.

    Raises:
        UsageError: unknown emotion, layout or level, or an empty corpus.
    """
    unknown = [name for name in emotions if name not in EMOTIONS]
    if unknown:
        raise UsageError(f"there is no emotion called {unknown[0]!r}.", f"Choose from: {', '.join(EMOTIONS)}.")
    if layout not in LAYOUTS or level not in LEVELS:
        raise UsageError(f"no layout {layout!r} with level {level}.", "Choose plain or mead, and a level from 1 to 3.")
    numbers = range(1, sentences + 1) if isinstance(sentences, int) else sentences
    if min(people, len(numbers), len(emotions)) < 1:
        raise UsageError("a corpus needs a person, a sentence and an emotion.", "Ask for at least one of each.")
    items = []
    for number in range(people):
        identity_seed = seed * 1000 + number
        # MEAD names men M and women W; here the letter stands for a low or a high voice.
        person = f"{'M' if sample_identity(identity_seed).pitch_hz < 155 else 'W'}{number + 1:03d}"
        for emotion in emotions:
            strength_level = 1 if emotion == "neutral" else level
            for k in numbers:
                own = layout == "mead" and k > mead.SHARED  # a sentence of this emotion
                text = make_sentence(seed * 100_000 + k + (1000 * (1 + EMOTIONS.index(emotion)) if own else 0))
                path = _video_path(Path(folder), layout, person, emotion, strength_level, k)
                items.append(CorpusItem(person, identity_seed, emotion, strength_level, k, text, path))
    return items


def write_video_corpus(
    folder: str | Path,
    people: int = 2,
    sentences: int | Sequence[int] = 4,
    emotions: tuple[str, ...] = EMOTIONS,
    level: int = 3,
    layout: str = "plain",
    fps: float = 25.0,
    size: int = 256,
    seed: int = 0,
    *,
    matte: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[CorpusItem]:
    """Writes a corpus; complete videos are kept.

    Plain layout: ``PERSON/EMOTION_SENTENCE.mp4``. MEAD's layout: ``PERSON/video/front/EMOTION/level_N/SENTENCE.mp4``
    and ``PERSON/audio/EMOTION/level_N/SENTENCE.wav``. Both have ``corpus.csv`` with the columns file, person,
    emotion, level, sentence, text.

    Args:
        folder: of the corpus.
        people: number of people.
        sentences: number of sentences per person and emotion, or their numbers.
        emotions: of ``speaker_motion.EMOTIONS``.
        level: intensity of all emotions but neutral, 1 to 3.
        layout: ``plain`` or ``mead``.
        fps: frame rate, Hz.
        size: side of the frames, px, even.
        seed: of people and sentences.
        matte: also write the true mattes.
        progress: called with the numbers of finished and of all videos.
    """
    items = plan_corpus(folder, people, sentences, emotions, level, layout, seed)
    for done, (item, speaker) in enumerate(_with_speakers(items)):
        strength = 1.0 if item.emotion == "neutral" else LEVELS[item.level]
        write_speaker_video(
            item.video.with_suffix(""),
            item.identity_seed,
            item.emotion,
            strength,
            [item.text],
            fps=fps,
            size=size,
            seed=1000 * EMOTIONS.index(item.emotion) + item.sentence,
            speaker=speaker,
            matte=matte,
        )
        if layout == "mead":
            _copy_sound(item)
        if progress:
            progress(done + 1, len(items))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "person", "emotion", "level", "sentence", "text"])
    for item in items:
        name = item.video.relative_to(folder).as_posix()
        writer.writerow([name, item.person, item.emotion, item.level, item.sentence, item.text])
    write_text(Path(folder) / "corpus.csv", table.getvalue())
    return items


def _with_speakers(items: list[CorpusItem]) -> Iterator[tuple[CorpusItem, Speaker]]:
    """Each item with its speaker, which is built once per person."""
    speaker = None
    for item in items:
        if speaker is None or speaker.identity.seed != item.identity_seed:
            speaker = build_speaker(sample_identity(item.identity_seed))
        yield item, speaker


def _video_path(folder: Path, layout: str, person: str, emotion: str, level: int, number: int) -> Path:
    if layout == "plain":
        return folder / person / f"{emotion}_{number:03d}.mp4"
    return mead.video_path(folder, person, emotion, level, number)


def _copy_sound(item: CorpusItem) -> None:
    """Copies the wav to MEAD's audio tree; the wav beside the video stays, as part of the complete video."""
    import shutil

    from jean.files import atomic_path

    sound = mead.sound_path(item.video)
    assert sound is not None  # the video's path comes from mead_video_path
    with atomic_path(sound) as temporary:
        shutil.copyfile(item.video.with_suffix(".wav"), temporary)
