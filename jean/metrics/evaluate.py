"""Scores results against references: pairs, tracks, streams, and writes the tables and the report.

Both sides of a pair are decoded once, tracked by the same tracker in the same way, and handed frame
by frame to every metric; nothing grows with the length of a video but a few numbers a frame.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from jean.config import StageConfig
from jean.errors import InputError, SetupError, UsageError
from jean.features import registry as adapters
from jean.features.base import Face, FaceTracker
from jean.files import check_writable, folder_lock, read_json, write_json
from jean.metrics import registry
from jean.metrics.base import FramePair, Metric, PairContext, Side
from jean.metrics.faces import TrackedVideo
from jean.metrics.sources import Source, clip_index, pair_up
from jean.metrics.tables import columns_of, write_tables
from jean.metrics.thumbnails import Thumbnails
from jean.progress import Progress, Silent

# The place of the face on both sides comes from the reference clip; nothing is measured on the result.
REFERENCE = "reference"
# Changes when a row's content changes for another reason than a metric's version.
ROW_VERSION = 1


class EvaluateConfig(StageConfig):
    """What is compared and how; see docs/evaluation.md for the protocol.

    Attributes:
        reference: a video or clip folder (every result is compared with it), or a folder of them
            (paired by name).
        metrics: names of metrics; all for none.
        tracker: finds the faces on both sides; ``reference`` takes the places from the reference
            clip and leaves out what must be measured on the result.
        fps: rate of the comparison; None: the lower of both videos' own.
        reference_start_s: the result begins at this time of the reference, e.g. for held-out frames.
        device: where trackers and networks run.
        seed: nothing is random yet; every command takes one.
        frames_shown: moments shown in the report for each pair.
        embed_mib: the report embeds a result's video up to this size.
    """

    reference: Path
    metrics: tuple[str, ...] = ()
    tracker: str = "mediapipe"
    fps: float | None = Field(None, gt=0, le=240)
    reference_start_s: float = Field(0.0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0
    frames_shown: int = Field(6, ge=1, le=24)
    embed_mib: float = Field(8.0, ge=0)


def evaluate(
    results: list[Path], config: EvaluateConfig, output: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Scores every result that has a partner.

    Args:
        results: video files, clip folders, or folders of either.
        output: folder for ``metrics.json``, ``metrics.csv``, ``metrics.md`` and ``report.html``;
            rows already computed there for the same content and options are kept.

    Returns:
        What ``metrics.json`` holds: ``columns``, ``rows`` (``name``, ``values``, ``frames``, ``notes``,
        ``details``: the file in ``output`` with the values of each frame, …), ``mean`` over the rows,
        ``unpaired``, ``missing`` (metrics that could not be built, and the remedy), ``protocol``.
        Unknown numbers are None.

    Raises:
        InputError: nothing can be compared.
        UsageError: an unknown metric or tracker, or the tracker ``reference`` without a clip.
        SetupError: the tracker's weights or package are missing; the output cannot be written.
    """
    progress = progress or Silent()
    chosen = registry.check(config.metrics)
    found = pair_up([Path(path) for path in results], config.reference)
    for path in found.without_reference:
        progress.warn(f"{path} has no partner in {config.reference} and is not scored.")
    for path in found.without_result:
        progress.warn(f"the reference {path} has no result.")
    tracker_version = _check_tracker(config, [reference for _, _, reference in found.pairs])
    protocol = {
        "tracker": config.tracker,
        "tracker_version": tracker_version,
        "metrics": {name: registry.load(name).version for name in chosen},
        "fps": config.fps,
        "reference_start_s": config.reference_start_s,
        "row_version": ROW_VERSION,
    }
    table: dict[str, Any] = {"kind": "evaluation", "protocol": protocol, "columns": columns_of(chosen), "rows": []}
    table |= {"unpaired": {"results": found.without_reference, "references": found.without_result}, "missing": {}}
    if output is None:
        for name, result, reference in found.pairs:
            row = _row(name, result, reference, chosen, config, None, table["missing"], progress)
            table["rows"].append(_brief(row))
        return _finish(table)
    check_writable(output)
    with folder_lock(output):
        for name, result, reference in found.pairs:
            key = hashlib.sha256(
                json.dumps([name, result.digest(), reference.digest(), protocol, config.frames_shown]).encode()
            ).hexdigest()[:24]
            kept = output / "rows" / key / "row.json"
            if kept.is_file():
                progress.say(f"{name}: already scored.")
                table["rows"].append(read_json(kept))
                continue
            row = _row(name, result, reference, chosen, config, kept.parent, table["missing"], progress)
            if not table["missing"]:  # weights may be there the next time
                row["details"] = str(kept.relative_to(output))
                write_json(kept, row)
            table["rows"].append(row)
        _finish(table)
        from jean.metrics.evaluation_report import write_report

        write_report(table, output / "report.html", config.embed_mib)
        table["rows"] = [_brief(row) for row in table["rows"]]
        write_tables(table, output)
    return table


def _check_tracker(config: EvaluateConfig, references: list[Source]) -> str:
    """The tracker's version; fails now for what would fail at the first pair."""
    if config.tracker == REFERENCE:
        for reference in references:
            if reference.clip is None:
                raise UsageError(
                    f"--tracker reference needs clip folders as references, {reference.path} is a video.",
                    "Prepare it, or choose a tracker.",
                )
        return ""
    if config.tracker == "truth":
        raise UsageError("--tracker truth knows no rendered video.", "Choose mediapipe, face-alignment or reference.")
    return str(adapters.create("tracker", config.tracker, device=_device(config)).version)


def _row(
    name: str,
    result: Source,
    reference: Source,
    chosen: tuple[str, ...],
    config: EvaluateConfig,
    folder: Path | None,
    missing: dict[str, str],
    progress: Progress,
) -> dict[str, Any]:
    """Scores one pair; thumbnails go into ``folder``."""
    own = {"result": result.fps(), "reference": reference.fps()}
    fps = config.fps or min(own.values())
    context = PairContext(fps, result.path, reference.path, reference.clip is not None, config.tracker, _device(config))
    metrics: list[Metric] = []
    for metric_name in chosen:
        try:
            metrics.append(registry.load(metric_name)(context))  # type: ignore[call-arg]
        except SetupError as error:
            missing[metric_name] = str(error)
    ours = TrackedVideo(result.frames(fps, warn=progress.warn), _tracker(config, result))
    theirs = TrackedVideo(reference.frames(fps, config.reference_start_s, progress.warn), _tracker(config, reference))
    places = _stored_faces(reference, fps, config) if config.tracker == REFERENCE else None
    thumbnails = Thumbnails(config.frames_shown)
    compared = 0
    with progress.task(f"evaluate {name}", None) as advance:
        for (time_s, left), (_, right) in zip(ours, theirs, strict=False):
            if places is not None:
                left, right = _placed(left, right, places(compared))
            for metric in metrics:
                metric.update(FramePair(time_s, left, right))
            thumbnails.add(time_s, left, right)
            compared += 1
            advance(1)
    ours.count_rest()
    theirs.count_rest()
    if not compared:
        raise InputError(f"{name}: {result.path} and {reference.path} have no moment in common.")
    frames = {
        "compared": compared,
        "left_result": ours.read - compared,
        "left_reference": theirs.read - compared,
        "no_face_result": ours.without_face,
        "no_face_reference": theirs.without_face,
        "several_faces_result": ours.with_several,
        "several_faces_reference": theirs.with_several,
    }
    row: dict[str, Any] = {"name": name, "result": str(result.path), "reference": str(reference.path)}
    row |= {"fps": fps, "own_fps": own, "frames": frames, "values": {}, "series": {}, "notes": _notes(frames, own, fps)}
    for metric in metrics:
        scores = metric.result()
        row["values"] |= {key: _number(value) for key, value in scores.values.items()}
        row["series"] |= {key: [_number(value) for value in track] for key, track in scores.series.items()}
        row["notes"] += [note for note in scores.notes if note not in row["notes"]]
    row["thumbnails"] = thumbnails.write(folder) if folder is not None else []
    return row


def _tracker(config: EvaluateConfig, source: Source) -> FaceTracker | None:
    if config.tracker == REFERENCE:
        return None
    return adapters.create("tracker", config.tracker, video=source.path, device=_device(config))


def _device(config: EvaluateConfig) -> str:
    """ "cuda" where it is wanted or there, else "cpu"; torch is looked at only if something could use it."""
    if config.device != "auto":
        return config.device
    if config.tracker in (REFERENCE, "mediapipe"):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _stored_faces(reference: Source, fps: float, config: EvaluateConfig):
    """From the number of a compared frame to the face that the reference clip has stored for it."""
    clip = reference.clip
    assert clip is not None  # checked before any work
    arrays = clip.arrays

    def face(number: int) -> Face | None:
        index = clip_index(clip, config.reference_start_s + number / fps)
        if not arrays["valid"][index]:
            return None
        points = arrays["landmarks"][index]
        pose = arrays["camera_to_world"][index].astype(np.float64)
        return Face(points, points, arrays["irises"][index], arrays["expression"][index], pose, 1.0)

    return face


def _placed(left: Side, right: Side, face: Face | None) -> tuple[Side, Side]:
    """Both sides with the reference's stored face, in the pixels of each."""
    if face is None:
        return left, right
    scale = np.array(left.image.shape[1::-1]) / np.array(right.image.shape[1::-1])
    points = face.landmarks * scale
    moved = Face(points, points, face.irises * scale, face.expression, face.camera_to_world, face.score)
    return Side(left.image, moved, left.matte), Side(right.image, face, right.matte)


def _notes(frames: dict[str, int], own: dict[str, float], fps: float) -> list[str]:
    """A line for everything by which the two videos differ."""
    notes = []
    if frames["left_result"] or frames["left_reference"]:
        notes.append(
            f"Lengths differ: {frames['compared']} frames compared, {frames['left_result']} of the result and "
            f"{frames['left_reference']} of the reference left over."
        )
    for side, rate in own.items():
        if abs(rate - fps) > 1e-3 * fps:
            notes.append(f"The {side} has {rate:g} frames/s, compared at {fps:g} by time stamps.")
    for side in ("result", "reference"):
        if frames[f"no_face_{side}"]:
            notes.append(f"No face in {frames[f'no_face_{side}']} frames of the {side}.")
        if frames[f"several_faces_{side}"]:
            notes.append(f"Several faces in {frames[f'several_faces_{side}']} frames of the {side}: one was followed.")
    return notes


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what grows with the length of the video; that stays in the file ``details``."""
    return {key: value for key, value in row.items() if key not in ("series", "thumbnails")}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _finish(table: dict[str, Any]) -> dict[str, Any]:
    """Adds the mean of each column over the rows that have it, and how many those are."""
    table["mean"], table["mean_over"] = {}, {}
    for column in table["columns"]:
        known = [row["values"].get(column["name"]) for row in table["rows"]]
        known = [value for value in known if value is not None]
        table["mean"][column["name"]] = float(np.mean(known)) if known else None
        table["mean_over"][column["name"]] = len(known)
    return table
