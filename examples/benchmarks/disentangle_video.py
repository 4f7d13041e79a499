"""Part 3 of ``disentangle.py``: heads driven by the speech of one held-out clip and the expression of another.

The synthetic speaker can be drawn with the speech controls of one clip and all other controls of a second. So
mouth and upper face of each render have a ground truth. Mouth opening and controls are estimated from rendered
frames by ``disentangle_readers.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from disentangle_heads import RENDERING, HeadRow, training_options
from disentangle_readers import FaceReader, lip_edges, mean_correlation, partial_correlation, slopes
from disentangle_runs import SEED, Corpus, Steps

from jean.clips.clip import Clip
from jean.demo.cross_driven import cross_driven_performance
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


@dataclass(frozen=True)
class DrivingPair:
    """The driving clips of one render, and its ground truth.

    Attributes:
        name: EXPRESSION-CLIP+SPEECH-CLIP.
        speech, expression: clip folders; ``expression`` also gives the pose.
        frames: uint8 [T, H, W, 3], the truth drawn before a white background.
        camera_to_world: [T, 4, 4], of the truth.
        controls: [T, C], of the truth.
        opening: [T], mouth opening of the truth.
        lip_edge: [T], ``lower_lip_edge`` of ``frames``.
        other_lip_edge: [T], the same of the expression source's frames, mirrored in time as in the render.
    """

    name: str
    speech: Path
    expression: Path
    frames: np.ndarray
    camera_to_world: np.ndarray
    controls: np.ndarray
    opening: np.ndarray
    lip_edge: np.ndarray
    other_lip_edge: np.ndarray


def video_rows(
    corpus: Corpus, steps: Steps, size_px: int, presets: Sequence[str], rows_of: Sequence[HeadRow], reporter: Progress
) -> list[dict[str, Any]]:
    """One row per preset and method, after a row for the drawn truth, which is the ceiling of every measure.

    Args:
        corpus: the clips without pictures.
        steps: of each stage.
        size_px: side of the frames.
        presets: of ``train-nerf``.
        rows_of: methods and variants.
        reporter: shows progress.
    """
    person = corpus.people[0]
    folder = corpus.folder / f"{size_px}px"
    clips = folder / "pictures"
    for place, items in (("train", corpus.train_items), ("test", corpus.test_items)):
        own = [item for item in items if item.person == person]
        with reporter.task(f"draw frames ({place})", len(own)) as advance:
            write_track_corpus(
                clips / place, own, emotion_of=corpus.emotion_of, progress=lambda *_: advance(1), picture_px=size_px
            )
    train = [Clip.open(path.parent) for path in sorted((clips / "train" / person).glob("*/clip.json"))]
    speaker = build_speaker(performance_of(next(i for i in corpus.test_items if i.person == person)).identity)
    pairs = [
        driving_pair(clips / "test", expression, speech, speaker, train[0])
        for expression, speech in pairs_of([item for item in corpus.test_items if item.person == person])
    ]
    upper = len(UPPER_CONTROLS)
    readers = {
        "upper face ~ expression": FaceReader(train, "upper", slice(0, upper)),
        "smile, frown ~ expression": FaceReader(train, "lower", slice(upper, upper + 2)),
    }
    rows = [{"model": "drawn truth"} | scores([pair.frames for pair in pairs], pairs, readers, train[0])]
    sheet = {"drawn truth": [pair.frames for pair in pairs]}
    for preset, row in product(presets, rows_of):
        name, run = (each if preset == "fast" else f"{preset}-{each}" for each in (row.name, row.run or row.name))
        options = training_options(row, preset, corpus, steps, reporter)
        trained = head(clips / "train" / person, folder / "heads" / run, options, steps, reporter)
        rendered = folder / "heads" / run, folder / "videos" / name, row, RENDERING.get(preset, {})
        videos = [render_pair(*rendered, pair, reporter) for pair in pairs]
        values = scores(videos, pairs, readers, train[0])
        rows.append({"model": name} | values | {"held-out face (dB)": trained["heldout_face_psnr_db"]})
        sheet[name] = videos
    write_sheet(folder / f"crossed_{'_'.join(presets)}.png", sheet, pairs)
    return rows


def head(clips: Path, run: Path, options: dict[str, Any], steps: Steps, reporter: Progress) -> dict[str, Any]:
    """Trains one head, or resumes its training; returns the scores."""
    from jean.train.nerf.train import NerfConfig, train_nerf

    config = NerfConfig(steps=steps.head, seed=SEED, device="cpu", **options)
    return train_nerf([clips], run, config, reporter)


def render_pair(
    run: Path, folder: Path, row: HeadRow, options: Mapping[str, Any], pair: DrivingPair, reporter: Progress
) -> np.ndarray:
    """Renders a pair into ``folder``, with further ``options`` of ``RenderConfig``: uint8 [T, H, W, 3]."""
    from jean.rendering.config import RenderConfig
    from jean.rendering.render import render

    config = RenderConfig(
        audio=pair.speech / "audio.wav",
        expression=pair.expression if METHODS[row.method].expression != "none" else None,
        pose=str(pair.expression),
        pose_mode="absolute",
        crf=8,
        device="cpu",
        **options,
        **row.rendering,
    )
    video = folder / f"{pair.name}.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    render(run, config, video, reporter)
    return np.stack([image for _, image in read_frames(video)])


def pairs_of(items: list[CorpusItem]) -> list[tuple[CorpusItem, CorpusItem]]:
    """Pairs of expression and speech: each emotion twice, with speech of another emotion and sentence."""
    emotions = sorted({item.emotion for item in items})
    sentences = sorted({item.sentence for item in items})
    by_key = {(item.emotion, item.sentence): item for item in items}
    pairs = []
    for shift in (1, 2):
        for k, emotion in enumerate(emotions):
            speech = emotions[(k + shift) % len(emotions)], sentences[(k + shift) % len(sentences)]
            pairs.append((by_key[emotion, sentences[k % len(sentences)]], by_key[speech]))
    return pairs


def driving_pair(
    folder: Path, expression: CorpusItem, speech: CorpusItem, speaker: Speaker, trained: Clip
) -> DrivingPair:
    """Draws the ground truth of a pair through the camera of the render, in frames of the training clip's size."""
    size_px = trained.size_px
    speech_performance, expression_performance = performance_of(speech), performance_of(expression)
    truth = cross_driven_performance(speech_performance, expression_performance, expression_performance)
    # A render moves the poses of another clip to the mean position of the training clip.
    opening = ground_truth(speaker.rig, truth, size_px)[0]["mouth_opening"]
    source_poses = ground_truth(speaker.rig, expression_performance, size_px)[0]["camera_to_world"]
    render_poses = retarget_position(source_poses, trained.arrays["camera_to_world"])
    shift = (np.linalg.inv(render_poses) - np.linalg.inv(source_poses))[0, :3, 3]
    truth = replace(truth, motion=replace(truth.motion, shift_cm=truth.motion.shift_cm + shift))
    poses = ground_truth(speaker.rig, truth, size_px)[0]["camera_to_world"]
    white = np.full((size_px * SUPERSAMPLING, size_px * SUPERSAMPLING, 3), 255.0, np.float32)
    times = (np.arange(truth.frame_count) + 0.5) / truth.fps
    played = np.round(
        source_positions(times, expression_performance.fps, expression_performance.frame_count, "mirror")
    ).astype(int)
    names = [f"{item.emotion}_{item.sentence:03d}" for item in (expression, speech)]
    source = Clip.open(folder / expression.person / names[0])
    frames = np.stack([frame.image for frame in draw_performance(speaker, truth, size_px, white)])
    other = lip_edges(source.frames, source.arrays["camera_to_world"], trained)
    return DrivingPair(
        "+".join(names),
        folder / speech.person / names[1],
        source.folder,
        frames,
        poses,
        truth.motion.controls,
        opening,
        lip_edges(frames, poses, trained),
        other[played],
    )


def scores(
    videos: list[np.ndarray], pairs: list[DrivingPair], readers: dict[str, FaceReader], trained: Clip
) -> dict[str, Any]:
    """Measures which source mouth and expression follow, over the videos of all pairs.

    Args:
        videos: uint8 [T, H, W, 3] per pair.
        pairs: their driving clips and truth.
        readers: estimators of controls, by name of the result.
        trained: training clip, whose camera the renders have.

    Returns:
        Correlations, and two slopes of the rendered mouth opening: on the true opening (1 is right) and on that of
        the expression source (0 is right). ``lower_lip_edge`` measures all three openings.
    """
    tracks: dict[str, list[np.ndarray]] = {name: [] for name in ("mouth", "opening", "true", "other")}
    for video, pair in zip(videos, pairs, strict=True):
        mouth = lip_edges(video, pair.camera_to_world, trained)
        # Remove the mean of each video, as mouths differ in mean opening between emotions.
        values = {"mouth": mouth, "opening": pair.opening, "true": pair.lip_edge, "other": pair.other_lip_edge}
        for name, track in values.items():
            tracks[name].append(track - np.nanmean(track))
    mouth, opening, true, other = (np.concatenate(parts) for parts in tracks.values())
    by_speech, by_other = slopes(mouth, np.stack([true, other], 1))
    result: dict[str, Any] = {
        "mouth ~ speech": correlation(mouth, opening),
        "slope on speech": float(by_speech),
        "slope on other's mouth": float(by_other),
        "mouth ~ other's mouth, given speech": partial_correlation(mouth, other, np.stack([opening, true], 1)),
    }
    for name, reader in readers.items():
        estimates = np.concatenate(
            [reader.read(v, pair.camera_to_world) for v, pair in zip(videos, pairs, strict=True)]
        )
        targets = np.concatenate([reader.targets_of(pair.controls) for pair in pairs])
        # A control that no emotion of the corpus uses is constant and left out.
        result[name] = mean_correlation(estimates, targets, targets.std(0) > 0)
    return result


def write_sheet(path: Path, rows_of_videos: dict[str, list[np.ndarray]], pairs: list[DrivingPair]) -> None:
    """Writes an overview image: a row per method, a column per pair, at the frame with the widest true mouth."""
    import cv2

    at = [int(np.argmax(pair.opening)) for pair in pairs]
    rows = []
    for name, videos in rows_of_videos.items():
        row = np.concatenate([video[min(k, len(video) - 1)] for video, k in zip(videos, at, strict=True)], 1).copy()
        cv2.putText(row, name, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (160, 0, 0), 1, cv2.LINE_AA)
        rows.append(row)
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])
