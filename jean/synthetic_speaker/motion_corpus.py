"""Plans and writes a corpus of cohesive track clips: many people, all emotions at three strengths.

``jean train-motion`` learns from it; the motion prior that comes with the package was made so.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from jean.cluster.calls import map_in_processes
from jean.files import write_text
from jean.progress import Progress, Silent
from jean.synthetic_speaker.language import make_sentence
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speaker_motion import EMOTIONS
from jean.synthetic_speaker.track_clips import write_track_clip
from jean.synthetic_speaker.video_corpus import CorpusItem

SENTENCES = 3  # per clip: about 8 s


def plan_motion_corpus(
    folder: Path, people: int, clips: int, cohesion: float = 1.0, seed: int = 0, first_person: int = 0
) -> list[CorpusItem]:
    """Lists the clips of a corpus; writes nothing.

    Args:
        folder: of the corpus.
        people: number of people.
        clips: clips per person and emotion; their strengths cycle through the three levels. Neutral has one level.
        cohesion: see ``jean.synthetic_speaker.performance.perform``.
        seed: of people and sentences.
        first_person: number of the first person, so that corpora with other people can be planned.
    """
    items = []
    for number in range(first_person, first_person + people):
        for index, emotion in enumerate(EMOTIONS):
            for k in range(clips):
                level = 1 if emotion == "neutral" else 3 - k % 3
                first = 1 + SENTENCES * (k + clips * (index + len(EMOTIONS) * number))
                text = ". ".join(make_sentence(seed * 100_000 + first + n) for n in range(SENTENCES))
                person = f"P{number + 1:03d}"
                video = folder / person / f"{emotion}_{k + 1:03d}.mp4"
                items.append(CorpusItem(person, seed * 1000 + number, emotion, level, k + 1, text, video, cohesion))
    return items


def write_motion_corpus(folder: Path, items: list[CorpusItem], progress: Progress | None = None) -> list[Path]:
    """Writes the clips of a plan, without audio features, and ``corpus.csv``; finished clips are kept.

    Args:
        folder: of the corpus.
        items: from ``plan_motion_corpus``.
        progress: counts people.

    Returns:
        The clip folders.
    """
    by_person: dict[str, list[CorpusItem]] = {}
    for item in items:
        by_person.setdefault(item.person, []).append(item)
    parts = map_in_processes(_write_person, list(by_person.values()), "write people", progress or Silent())
    folders = [path for part in parts for path in part]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "person", "emotion", "level", "sentence", "text"])
    for item in items:
        name = item.video.relative_to(folder).as_posix()
        writer.writerow([name, item.person, item.emotion, item.level, item.sentence, item.text])
    write_text(folder / "corpus.csv", table.getvalue())
    return folders


def _write_person(items: list[CorpusItem]) -> list[Path]:
    speaker = build_speaker(sample_identity(items[0].identity_seed))
    return [write_track_clip(item.video.with_suffix(""), item, speaker, audio=None) for item in items]
