"""Pictures of generated motion beside the drawn truth: a trained head of the synthetic speaker, and the speaker itself.

    python examples/benchmarks/motion_sheet.py RUN --identity SEED -o sheet.png

RUN is a head of the synthetic speaker with that identity. For each emotion the speaker says a new sentence with
cohesive motion and is drawn. Rows: the drawn truth; the head with the sound of the truth and generated motion; the head
with this sound and the motion of another speaker's clip of the same emotion. A column shows one time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.media import write_png
from jean.rendering.head import LoadedHead, load_head
from jean.synthetic_speaker.motion_corpus import plan_motion_corpus
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.track_clips import write_track_clip

SIZE_PX, COLUMNS = 160, 8
OTHER_IDENTITY = 101  # of the speaker whose clip is copied; the motion model has not seen it


def drawn_clip(folder: Path, identity: int, emotion: str, picture_px: int | None) -> Clip:
    """A cohesive clip of a speaker, with exact tracks."""
    plan = plan_motion_corpus(folder / f"speaker{identity}", 1, 1, first_person=identity)
    item = next(item for item in plan if item.emotion == emotion)
    speaker = build_speaker(sample_identity(item.identity_seed))
    write_track_clip(item.video.with_suffix(""), item, speaker, audio=None, picture_px=picture_px)
    return Clip.open(item.video.with_suffix(""), pictures=picture_px is not None)


def rows(head: LoadedHead, folder: Path, identity: int, emotion: str, seed: int) -> list[np.ndarray]:
    """Three rows of pictures [H, W, 3] of one emotion: truth, generated, copied."""
    truth = drawn_clip(folder, identity, emotion, SIZE_PX)
    copied = drawn_clip(folder, OTHER_IDENTITY, emotion, None)
    drives = [
        head.drive(truth.sound(), motion="builtin", emotion=emotion, seed=seed, size=SIZE_PX),
        head.drive(truth.sound(), motion=str(copied.folder), size=SIZE_PX),
    ]
    times_s = (np.arange(COLUMNS) + 0.5) / COLUMNS * truth.frame_count / truth.fps
    found = [np.concatenate([truth.frames[int(time_s * truth.fps)] for time_s in times_s], 1)]
    for drive in drives:
        found.append(np.concatenate([head.frame(drive, int(time_s * drive.fps)) for time_s in times_s], 1))
    return found


def main() -> None:
    """Draws, renders and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--identity", type=int, required=True, metavar="SEED")
    parser.add_argument("--emotions", nargs="*", default=["happy", "sad"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=Path, default=Path("motion_sheet"), help="where drawn clips are kept")
    parser.add_argument("-o", "--output", type=Path, default=Path("motion_sheet.png"))
    options = parser.parse_args()
    head = load_head(options.run, device="cpu")
    sheet = [
        row
        for emotion in options.emotions
        for row in rows(head, options.clips, options.identity, emotion, options.seed)
    ]
    write_png(options.output, np.concatenate(sheet))


if __name__ == "__main__":
    main()
