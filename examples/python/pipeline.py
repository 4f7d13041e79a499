"""The whole pipeline from Python: a video becomes a head, and another voice drives it.

python examples/python/pipeline.py VIDEO SPEECH FOLDER [--minutes 10] [--expression OTHER]

VIDEO: a few minutes of one person. SPEECH: any file with sound. FOLDER: clip, run, result and report go there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jean


def main() -> None:
    """Prepares, trains, renders and evaluates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, help="training steps instead of minutes")
    parser.add_argument("--minutes", type=float, default=10.0, help="training time")
    parser.add_argument("--expression", help="a clip, a video or a name such as happy:0.7")
    parser.add_argument("--size", type=int, default=256, help="side of the frames, px")
    parser.add_argument("--tracker", default="mediapipe", help="face tracker")
    options = parser.parse_args()

    clip = jean.prepare(options.video, options.folder / "clip", size=options.size, tracker=options.tracker)
    length = {"steps": options.steps} if options.steps else {"minutes": options.minutes}
    run = jean.train_nerf(clip, options.folder / "run", **length)
    print(f"{run.steps} steps, held-out face {run.metrics['heldout_face_psnr_db']:.1f} dB")

    expression = {} if options.expression is None else {"expression": options.expression}
    result = jean.render(run, options.folder / "result.mp4", audio=options.speech, **expression)
    print(f"{result.output}: {result.frames} frames, {result.fps:g} per second")

    # the head's own video, rendered with its own sound, against the real one; both show the face at the same place
    own = jean.render(run, options.folder / "own.mp4", audio=clip.clips[0].audio_path, background="source")
    report = options.folder / "report"
    scores = jean.evaluate(own, report, reference=clip, metrics=["image", "pixels"], tracker="reference")
    print({name: value for name, value in scores.mean.items() if value is not None})


if __name__ == "__main__":
    main()
