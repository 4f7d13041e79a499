"""The demo's HTML report: videos, frames, curves and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.demo.config import DemoConfig
from jean.demo.demo_clips import EXPRESSION, POSE, SPEECH, clips_of_role, plan_clips, video_path
from jean.evaluation.tables import format_number
from jean.media import read_frames
from jean.metrics.pose import head_in_camera
from jean.report.page import Report, Tile, format_duration
from jean.train.engine.run_folder import read_log

MOMENTS = 6  # frames shown of each video
MOUTH_GOAL = 0.8  # correlation of rendered and true mouth opening
ESTIMATORS = {
    "landmarks": "MediaPipe's landmarks in the rendered video",
    "pixels": "the lower edge of the lips, in a patch that the head pose locates",
}


def write_report(
    output: Path,
    config: DemoConfig,
    clips: list[dict[str, Any]],
    result: dict[str, Any],
    scores: dict[str, Any],
    opening: list[float],
    seconds: dict[str, float],
) -> Path:
    """Writes ``report.html`` to ``output``.

    Args:
        output: folder of a demo whose stages are all finished.
        config: its options.
        clips: description and sentences of each clip, see ``demo_clips.write_videos``.
        result: see ``run_demo``.
        scores: result of the stage ``evaluate``.
        opening: [T], the true mouth opening per frame.
        seconds: duration of each stage.

    Returns:
        Path of the report.
    """
    report = Report(
        "One head, three sources",
        "A head was trained on a few seconds of video. It is driven by the speech of one clip, the expression of a "
        "second and the head pose of a third.",
        "jean · demo",
    )
    report.tiles(_tiles(result, sum(seconds.values())))
    if config.short:
        report.text(
            "This is the short demo, with small frames and seconds of training. It checks that every stage runs; "
            "its image quality is low."
        )
    report.section(
        "The result",
        "Left: rendered by the trained head. Right: the ground truth. The synthetic speaker can be drawn with exactly "
        "the requested speech, expression and pose. Starting one video starts both.",
    )
    report.videos([(output / "crossed.mp4", "Rendered"), (output / "truth" / "truth.mp4", "Truth")])
    _add_frames(report, output, config)
    _add_sentences(report, clips)
    _add_mouth(report, scores["mouth"], opening, Clip.open(output / "truth").fps)
    _add_pose(report, output)
    _add_numbers(report, scores)
    _add_training(report, output / "run", result["training"])
    _add_tracker(report, result["tracker_check"])
    report.section("Time", f"{format_duration(sum(seconds.values()))} in all.")
    report.timings(seconds, "A stage that was interrupted counts with the time of its last run.")
    report.section("Your own video", "The same steps, from a shell:")
    report.code(
        "jean prepare me.mp4 -o clips/me\n"
        "jean train-nerf clips/me -o runs/me\n"
        "jean render runs/me --audio speech.wav --expression other.mp4 --pose clips/me -o out.mp4\n"
        "jean evaluate out.mp4 --reference clips/me -o scores"
    )
    return report.write(output / "report.html")


def _tiles(result: dict[str, Any], total_s: float) -> list[Tile]:
    """Headline numbers."""
    mouth = result["mouth_correlation"]
    tiles = [
        Tile(
            "Mouth opening, correlation",
            format_number(mouth, 2),
            note=f"goal ≥ {MOUTH_GOAL:.1f}",
            met=mouth is not None and mouth >= MOUTH_GOAL,
        ),
        Tile("PSNR, face", format_number(result.get("psnr_face_db"), 1), "dB", "against the truth"),
        Tile("SSIM, face", format_number(result.get("ssim_face"), 3), note="against the truth"),
    ]
    if result.get("pose_error_deg") is not None:
        tiles.append(Tile("Head pose", format_number(result["pose_error_deg"], 1), "°", "mean error"))
    held_out = result["training"].get("heldout_face_psnr_db")
    if held_out is not None:
        tiles.append(Tile("Held-out frames", format_number(held_out, 1), "dB", "PSNR over the face"))
    whole = round(total_s)
    return [*tiles, Tile("Whole demo", f"{whole // 60}:{whole % 60:02d}", "min", "on this machine")]


def _add_frames(report: Report, output: Path, config: DemoConfig) -> None:
    """Frames of sources, render and truth at the same times."""
    clips = plan_clips(config)
    truth = Clip.open(output / "truth")
    at = np.linspace(0, truth.frame_count - 1, MOMENTS + 2).round().astype(int)[1:-1]
    rows = []
    for role, label in ((SPEECH, "Speech from"), (EXPRESSION, "Expression from"), (POSE, "Pose from")):
        rows.append((label, _moments(video_path(output / "videos", clips_of_role(clips, role)[0]), at, truth.fps)))
    rows.append(("Rendered", _moments(output / "crossed.mp4", at, truth.fps)))
    rows.append(("Truth", [np.asarray(truth.frames[t]) for t in at]))
    report.section("Frames side by side", "The driving clips, the render and the truth at the same times.")
    report.frames(rows, [f"{t / truth.fps:.1f} s" for t in at])


def _moments(video: Path, at: np.ndarray, fps: float) -> list[np.ndarray]:
    """The frames with numbers ``at`` (increasing) of a video; its last frame for numbers past its end."""
    frames: list[np.ndarray] = []
    for number, (_, image) in enumerate(read_frames(video, fps)):
        if number == at[len(frames)]:
            frames.append(image)
            if len(frames) == len(at):
                return frames
    return frames + [image] * (len(at) - len(frames))


def _add_sentences(report: Report, clips: list[dict[str, Any]]) -> None:
    """The sentences of each clip."""
    report.section(
        "Sentences",
        "The sentences of the speech clip do not occur in the training clips.",
    )
    rows = [
        [str(clip["name"]), str(clip["emotion"]), f"{clip['seconds']:g}", "; ".join(clip["sentences"])]
        for clip in clips
    ]
    report.table(["clip", "emotion", "s", "sentences"], rows)


def _add_mouth(report: Report, mouth: dict[str, Any], opening: list[float], fps: float) -> None:
    """Rendered and true mouth opening over time, per estimator."""
    report.section(
        "Does the mouth follow the speech?",
        "The true mouth opening is known. The opening in the rendered video is estimated independently of it.",
    )
    times = np.arange(len(opening)) / fps
    for name, description in ESTIMATORS.items():
        estimate = mouth[name]
        if estimate is None:
            continue
        track = np.array([np.nan if value is None else value for value in estimate["track"]], float)
        report.curve(
            f"By {name}",
            {"rendered": (times[: len(track)], track), "truth": (times, np.array(opening))},
            y_label="opening / eye distance",
            caption=f"Estimated from {description}. Correlation {format_number(estimate['correlation'], 2)}; "
            f"the same estimator on the true frames reaches {format_number(estimate['ceiling'], 2)}.",
        )


def _add_pose(report: Report, output: Path) -> None:
    """Yaw and pitch of the driving head pose."""
    truth = Clip.open(output / "truth")
    turn = head_in_camera(truth.arrays["camera_to_world"])[:, :3, :3]
    # Direction of the face (the head's −z axis) as angles to the camera's axis.
    look = -turn[:, :, 2]
    yaw, pitch = np.degrees(np.arctan2(look[:, 0], -look[:, 2])), np.degrees(np.arcsin(np.clip(look[:, 1], -1, 1)))
    times = np.arange(len(yaw)) / truth.fps
    report.curve(
        "Driving head pose",
        {"to the right": (times, yaw), "down": (times, pitch)},
        y_label="degrees",
        caption="From the third clip, moved to the mean pose of the training frames.",
    )


def _add_numbers(report: Report, scores: dict[str, Any]) -> None:
    """Table of all scores."""
    row = scores["row"]
    report.section("Numbers", "Scores against the truth, measured as docs/evaluation.md describes.")
    names = {
        "psnr_db": ("PSNR, aligned face box", "dB", 2),
        "ssim": ("SSIM, aligned face box", "", 3),
        "psnr_face_db": ("PSNR, face", "dB", 2),
        "ssim_face": ("SSIM, face", "", 3),
        "psnr_head_db": ("PSNR, head with hair", "dB", 2),
        "ssim_head": ("SSIM, head with hair", "", 3),
        "lmd_all": ("Landmark distance, all", "eye distances", 4),
        "lmd_mouth": ("Landmark distance, mouth", "eye distances", 4),
        "lmd_mouth_aligned": ("Landmark distance, mouth, aligned", "eye distances", 4),
        "mouth_correlation": ("Mouth opening, tracked against tracked", "correlation", 3),
        "mouth_lag_s": ("Mouth delay", "s", 2),
        "pose_error_deg": ("Pose error", "°", 2),
        "pose_error_cm": ("Position error", "cm", 2),
        "jitter": ("Jitter", "eye distances/s²", 2),
        "jitter_reference": ("Jitter of the truth", "eye distances/s²", 2),
    }
    rows = [
        [title, format_number(row["values"][name], digits), unit]
        for name, (title, unit, digits) in names.items()
        if row["values"].get(name) is not None
    ]
    report.table(["", "value", "unit"], rows)
    report.notes(row["notes"])


def _add_training(report: Report, run: Path, training: dict[str, Any]) -> None:
    """Length of the training, and PSNR over its steps."""
    report.section(
        "Training",
        f"{training['steps']} steps in {format_duration(training['seconds'])}. "
        "The last tenth of each training clip was held out.",
    )
    steps: dict[str, list[tuple[int, float]]] = {}
    for line in read_log(run):
        if line["kind"] == "evaluation":
            for key, label in (("train_face_psnr_db", "training frames"), ("heldout_face_psnr_db", "held-out frames")):
                if key in line:
                    steps.setdefault(label, []).append((line["step"], line[key]))
    series = {label: (np.array([s for s, _ in v], float), np.array([p for _, p in v])) for label, v in steps.items()}
    if series:
        report.curve("PSNR over the face", series, "step", "dB")


def _add_tracker(report: Report, check: dict[str, Any] | None) -> None:
    """Table of the tracker's error, or why there is none."""
    report.section(
        "A real tracker on the synthetic speaker",
        "Landmarks and poses of this demo come from the synthetic speaker's ground truth."
        if check is None
        else "The demo's landmarks and poses come from the truth. MediaPipe also tracked the speech clip:",
    )
    if check is None:
        report.text(
            "MediaPipe or its weights are not installed, so its landmarks were not compared. "
            "To compare them, run “jean models pull face_landmarker.task”, then the demo again."
        )
        return
    rows = [
        ["frames with a face", f"{100 * check['found']:.1f}%"],
        ["distance, all points", format_number(check["error_all"], 4)],
        ["distance, mouth", format_number(check["error_mouth"], 4)],
        ["distance, brows, nose and eyes", format_number(check["error_upper"], 4)],
    ]
    report.table(
        ["", check["tracker"]],
        rows,
        "In inter-ocular distances. MediaPipe defines some points differently, which adds to the distance.",
    )
