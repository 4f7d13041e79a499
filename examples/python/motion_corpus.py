"""Writes the cohesive synthetic corpus that the motion model of the package was trained on.

    python examples/python/motion_corpus.py DIR [PEOPLE] [CLIPS]

DIR/PERSON/EMOTION_NUMBER are clips of tracks with sound, described by DIR/corpus.csv. Finished clips are kept. CLIPS
are per person and emotion, at three strengths. The rules of the motion are invented (docs/guides/motion.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

from jean.synthetic_speaker.motion_corpus import plan_motion_corpus, write_motion_corpus


def main() -> None:
    """Writes the corpus."""
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(str(__doc__))
    folder, counts = Path(sys.argv[1]), [int(text) for text in sys.argv[2:]]
    people, clips = counts + [12, 6][len(counts) :]
    written = write_motion_corpus(folder, plan_motion_corpus(folder, people, clips))
    print(f"{len(written)} clips in {folder}")


if __name__ == "__main__":
    main()
