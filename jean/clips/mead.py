"""MEAD (Wang et al., 2020): its folders, and which of its file numbers are the same sentence.

``mead_sentences.csv`` tells the sentence of each number and emotion. In MEAD, numbers 1 to 3 are common to all emotions
and 4 to 13 are generic sentences, the same in every emotion. Higher numbers belong to one emotion: ``014`` of happy and
``014`` of sad are different texts. The numbers of some speakers are shifted, because files are missing, so
``jean train-expr`` also compares the sound of every pair.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

EMOTIONS = ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
SHARED = 13  # numbers up to this are the same sentence in every emotion
SENTENCES = Path(__file__).with_name("mead_sentences.csv")

LAYOUT = re.compile(
    r"^(?P<person>[^/]+)/(?:video/)?(?:front/)?(?P<emotion>[a-z]+)/level_(?P<level>\d)/(?P<name>[^/]+)$"
)
_SOUND_SUFFIXES = (".m4a", ".wav")  # MEAD's own, and the synthetic speaker's


def sentence(emotion: str, name: str) -> str:
    """The sentence of a clip: equal values mean the same text.

    Args:
        emotion: the clip's emotion.
        name: of the file, without a suffix; MEAD's are numbers of three digits.

    Example:
        >>> sentence("happy", "007") == sentence("sad", "007"), sentence("happy", "014") == sentence("sad", "014")
        (True, False)
    """
    number = int(name) if name.isdecimal() else None
    return name if number is None else _sentences().get((emotion, number), f"{emotion}-{name}")


def video_path(root: Path, person: str, emotion: str, level: int, number: int) -> Path:
    """The path of a video in MEAD's layout: ``PERSON/video/front/EMOTION/level_N/NUMBER.mp4``."""
    return root / person / "video" / "front" / emotion / f"level_{level}" / f"{number:03d}.mp4"


def sound_path(video: Path, suffix: str = ".wav") -> Path | None:
    """The path of a video's sound in MEAD's layout: ``PERSON/audio/EMOTION/level_N/NUMBER`` with ``suffix``.

    Returns:
        None for a video that does not lie in MEAD's layout.
    """
    parts = video.resolve().parts
    if len(parts) < 7 or parts[-5] != "video":
        return None
    return Path(*parts[:-5], "audio", parts[-3], parts[-2], f"{video.stem}{suffix}")


def sound(video: Path) -> Path | None:
    """The sound file of a silent video in MEAD's layout; None if there is none."""
    paths = (sound_path(video, suffix) for suffix in _SOUND_SUFFIXES)
    return next((path for path in paths if path is not None and path.is_file()), None)


@cache
def _sentences() -> dict[tuple[str, int], str]:
    """The sentence of each emotion and number of the table."""
    with open(SENTENCES, encoding="utf-8", newline="") as handle:
        return {(row["emotion"], int(row["number"])): row["sentence"] for row in csv.DictReader(handle)}
