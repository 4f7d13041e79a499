"""Part 3 of ``disentangle.py``: heads driven by the speech of one held-out clip and the expression of another.

The speaker can be drawn doing what a render was asked for (speech controls of one clip, all others of a second), so
mouth and upper face have a truth. What is read from a rendered picture is read by rules that know pose and rigid
shape alone, and were made on drawn pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from disentangle_pictures import FaceReader, agreement, opening_of, partial_correlation, slopes
from disentangle_runs import SEED, Corpus, Steps, audio_run, expression_run
from entangled import of_tracks

from jean.clips.clip import Clip
from jean.demo.cross_driven import cross_driven_performance
from jean.drivers.emotion import BLENDSHAPES
from jean.drivers.method import METHODS
from jean.drivers.pose import retarget_position
from jean.drivers.resampling import source_positions
from jean.media import read_frames
from jean.metrics.mouth import correlation
from jean.progress import Progress
from jean.synthetic_speaker.controls import UPPER_CONTROLS
from jean.synthetic_speaker.draw import SUPERSAMPLING
from jean.synthetic_speaker.performance import draw_performance, ground_truth
from jean.synthetic_speaker.speaker import Speaker, build_speaker
from jean.synthetic_speaker.track_clips import performance_of, write_track_corpus
from jean.synthetic_speaker.video_corpus import CorpusItem

SIZE_PX = 128


@dataclass(frozen=True)
class Crossed:
    """What one render was asked for, and its truth.

    Attributes:
        name: EXPRESSION-CLIP+SPEECH-CLIP.
        speech, expression: clip folders; the pose is the expression's.
        frames: uint8 [T, H, W, 3], the truth drawn before white; camera_to_world: [T, 4, 4].
        controls: [T, C], of the truth; opening: [T], its mouth's opening.
        mouth: [T], how far down the red of the lips reaches in ``frames``.
        theirs: [T], the same of the expression source's own frames, played as the render plays them.
    """

    name: str
    speech: Path
    expression: Path
    frames: np.ndarray
    camera_to_world: np.ndarray
    controls: np.ndarray
    opening: np.ndarray
    mouth: np.ndarray
    theirs: np.ndarray


def video_rows(corpus: Corpus, steps: Steps, reporter: Progress) -> list[dict[str, Any]]:
    """One row a method, the drawn truth (what the measures reach at best) first."""
    person = corpus.people[0]
    clips = corpus.folder / "pictures"
    for place, items in (("train", corpus.train_items), ("test", corpus.test_items)):
        own = [item for item in items if item.person == person]
        with reporter.task(f"draw pictures ({place})", len(own)) as advance:
            write_track_corpus(
                clips / place, own, emotion_of=of_tracks, progress=lambda *_: advance(1), picture_px=SIZE_PX
            )
    train = [Clip.open(path.parent) for path in sorted((clips / "train" / person).glob("*/clip.json"))]
    speaker = build_speaker(performance_of(next(i for i in corpus.test_items if i.person == person)).person)
    pairs = [
        crossed(clips / "test", expression, speech, speaker, train[0])
        for expression, speech in pairs_of([item for item in corpus.test_items if item.person == person])
    ]
    upper = len(UPPER_CONTROLS)
    readers = {
        "upper face ~ expression": FaceReader(train, "upper", slice(0, upper)),
        "smile, frown ~ expression": FaceReader(train, "lower", slice(upper, upper + 2)),
    }
    rows = [{"model": "drawn truth"} | scores([pair.frames for pair in pairs], pairs, readers, train[0])]
    shown = {"drawn truth": [pair.frames for pair in pairs]}
    for name, options in heads(corpus, steps, reporter).items():
        trained = head(clips / "train" / person, corpus.folder / "heads" / name, options, steps, reporter)
        videos = [render_pair(corpus.folder, name, options["method"], pair, reporter) for pair in pairs]
        found = scores(videos, pairs, readers, train[0])
        rows.append({"model": name} | found | {"held-out face (dB)": trained["heldout_face_psnr_db"]})
        shown[name] = videos
    write_sheet(corpus.folder / "crossed.png", shown, pairs)
    return rows


def heads(corpus: Corpus, steps: Steps, reporter: Progress) -> dict[str, dict[str, Any]]:
    """Options of ``NerfConfig`` by the name of a row: every method, the paper's with either transformer."""
    audio = audio_run(corpus, steps, reporter, "small")
    transformers = {
        "jean": expression_run(corpus, steps, reporter, "small"),
        "jean-parted": expression_run(corpus, steps, reporter, "parted"),
        "d": expression_run(corpus, steps, reporter, "small", BLENDSHAPES),
    }
    made = {}
    for name in ("jean", "jean-parted", "audio-only", "expression-only", "a", "b", "c", "d"):
        method = "jean" if name == "jean-parted" else name
        options: dict[str, Any] = {"method": method, "expression_run": transformers.get(name)}
        made[name] = options | {"audio_run": audio if METHODS[method].audio_run else None}
    return made


def head(clips: Path, run: Path, options: dict[str, Any], steps: Steps, reporter: Progress) -> dict[str, Any]:
    """Trains one head of the fast preset, or goes on with it."""
    from jean.train.nerf.train import NerfConfig, train_nerf

    return train_nerf([clips], run, NerfConfig(steps=steps.head, seed=SEED, device="cpu", **options), reporter)


def render_pair(folder: Path, name: str, method: str, pair: Crossed, reporter: Progress) -> np.ndarray:
    """The video that a head makes of a pair, uint8 [T, H, W, 3]."""
    from jean.rendering.config import RenderConfig
    from jean.rendering.render import render

    config = RenderConfig(
        audio=pair.speech / "audio.wav",
        expression=pair.expression if METHODS[method].expression != "none" else None,
        pose=str(pair.expression),
        pose_mode="absolute",
        crf=8,
        device="cpu",
    )
    video = folder / "videos" / name / f"{pair.name}.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    render(folder / "heads" / name, config, video, reporter)
    return np.stack([image for _, image in read_frames(video)])


def pairs_of(items: list[CorpusItem]) -> list[tuple[CorpusItem, CorpusItem]]:
    """Expression and speech: every emotion twice, speech in two other emotions and of other sentences."""
    emotions = sorted({item.emotion for item in items})
    sentences = sorted({item.sentence for item in items})
    by_key = {(item.emotion, item.sentence): item for item in items}
    chosen = []
    for shift in (1, 2):
        for k, emotion in enumerate(emotions):
            speech = emotions[(k + shift) % len(emotions)], sentences[(k + shift) % len(sentences)]
            chosen.append((by_key[emotion, sentences[k % len(sentences)]], by_key[speech]))
    return chosen


def crossed(folder: Path, expression: CorpusItem, speech: CorpusItem, speaker: Speaker, trained: Clip) -> Crossed:
    """Draws the truth of one pair through the camera that a render has."""
    said, shown = performance_of(speech), performance_of(expression)
    truth = cross_driven_performance(said, shown, shown)
    # a render moves another clip's poses to the mean place of the clip trained on
    own, theirs = ground_truth(speaker.face, truth, SIZE_PX)[0], ground_truth(speaker.face, shown, SIZE_PX)[0]
    wanted = retarget_position(theirs["camera_to_world"], trained.arrays["camera_to_world"])
    shift = (np.linalg.inv(wanted) - np.linalg.inv(theirs["camera_to_world"]))[0, :3, 3]
    truth = replace(truth, motion=replace(truth.motion, shift_cm=truth.motion.shift_cm + shift))
    poses = ground_truth(speaker.face, truth, SIZE_PX)[0]["camera_to_world"]
    white = np.full((SIZE_PX * SUPERSAMPLING, SIZE_PX * SUPERSAMPLING, 3), 255.0, np.float32)
    times = (np.arange(truth.frame_count) + 0.5) / truth.fps
    played = np.round(source_positions(times, shown.fps, shown.frame_count, "mirror")).astype(int)
    names = [f"{item.emotion}_{item.sentence:03d}" for item in (expression, speech)]
    source = Clip.open(folder / expression.person / names[0])
    frames = np.stack([picture.image for picture in draw_performance(speaker, truth, SIZE_PX, white)])
    other = opening_of(source.frames, source.arrays["camera_to_world"], trained)
    return Crossed(
        "+".join(names),
        folder / speech.person / names[1],
        source.folder,
        frames,
        poses,
        truth.motion.controls,
        own["mouth_opening"],
        opening_of(frames, poses, trained),
        other[played],
    )


def scores(
    videos: list[np.ndarray], pairs: list[Crossed], readers: dict[str, FaceReader], trained: Clip
) -> dict[str, Any]:
    """What mouth and expression follow in the videos of all pairs.

    Returns:
        Correlations, and two slopes: how much the rendered mouth moves for a movement of the mouth that speech asks
        for (1 is right) and of the expression source's own mouth (0 is right), all three read by one rule.
    """
    tracks: dict[str, list[np.ndarray]] = {name: [] for name in ("mouth", "opening", "true", "theirs")}
    for video, pair in zip(videos, pairs, strict=True):
        mouth = opening_of(video, pair.camera_to_world, trained)
        # within a video: one emotion's mouth is wider than another's all the time
        for name, track in (("mouth", mouth), ("opening", pair.opening), ("true", pair.mouth), ("theirs", pair.theirs)):
            tracks[name].append(track - np.nanmean(track))
    mouth, opening, true, theirs = (np.concatenate(parts) for parts in tracks.values())
    by_speech, by_other = slopes(mouth, np.stack([true, theirs], 1))
    found: dict[str, Any] = {
        "mouth ~ speech": correlation(mouth, opening),
        "speech's movement shown": float(by_speech),
        "other's movement shown": float(by_other),
        "mouth ~ other's mouth, beyond speech": partial_correlation(mouth, theirs, np.stack([opening, true], 1)),
    }
    for name, reader in readers.items():
        told = np.concatenate([reader.read(v, pair.camera_to_world) for v, pair in zip(videos, pairs, strict=True)])
        wanted = np.concatenate([reader.wanted(pair.controls) for pair in pairs])
        found[name] = agreement(told, wanted, wanted.std(0) > 0)  # lids are wide in no emotion of the corpus
    return found


def write_sheet(path: Path, shown: dict[str, list[np.ndarray]], pairs: list[Crossed]) -> None:
    """A picture to look at: a row a method, for each pair the frame with the widest true mouth."""
    import cv2

    at = [int(np.argmax(pair.opening)) for pair in pairs]
    rows = []
    for name, videos in shown.items():
        row = np.concatenate([video[min(k, len(video) - 1)] for video, k in zip(videos, at, strict=True)], 1).copy()
        cv2.putText(row, name, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (160, 0, 0), 1, cv2.LINE_AA)
        rows.append(row)
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])
