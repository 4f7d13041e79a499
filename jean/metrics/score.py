"""Scores one result: streams it and its partners past every metric, and keeps what was found.

Every video is decoded once, tracked once, and handed frame by frame to all metrics; nothing grows with
the length of a video but a few numbers a frame. What a metric found is kept by the content of the files
and the metric's version, so that only what changed is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import InputError, SetupError
from jean.features import registry as adapters
from jean.features.base import Face, FaceTracker
from jean.files import read_json, write_json
from jean.metrics import registry
from jean.metrics.base import FramePair, Metric, PairContext, Scores, Side, Sound
from jean.metrics.faces import TrackedVideo
from jean.metrics.pairing import TRUTH, Job
from jean.metrics.sources import Source, clip_index, open_source
from jean.metrics.thumbnails import Thumbnails
from jean.progress import Progress

# The place of the face on both sides comes from the partner's clip; nothing is measured on the result.
REFERENCE = "reference"
# Changes when kept numbers change for another reason than a metric's version.
ROW_VERSION = 2


@dataclass(frozen=True)
class Rules:
    """What is the same for all results.

    Attributes:
        metrics: names of metrics.
        tracker, tracker_version: finds the faces, or ``reference``.
        fps: rate of the comparison; None: the lowest of the videos'.
        reference_start_s: the result begins at this time of the reference.
        device: where networks run.
        frames_shown: moments kept for the report.
        sync_protocol: how faces are cropped for lip sync.
        pair: the networks of the project's own lip sync.
        sounds, expressions: all test sources, for systems that take no audio or no expression.
    """

    metrics: tuple[str, ...]
    tracker: str
    tracker_version: str
    fps: float | None
    reference_start_s: float
    device: str
    frames_shown: int
    sync_protocol: str
    pair: tuple[Path, Path] | None = None
    sounds: tuple[Path, ...] = ()
    expressions: tuple[Path, ...] = ()


def score(job: Job, rules: Rules, folder: Path | None, progress: Progress) -> tuple[dict[str, Any], dict[str, str]]:
    """Scores one result with every metric that can be computed.

    Args:
        folder: where numbers and thumbnails are kept, and looked for; None: nowhere.

    Returns:
        The row (see ``evaluate``) with ``series``, and the metrics that are missing with the reason.

    Raises:
        InputError: a file cannot be used, or result and partners have no moment in common.
    """
    sources = _open(job)
    own = {role: source.fps() for role, source in sources.items()}
    fps = rules.fps or min(own.values())
    kept = None if folder is None else folder / "rows" / _row_key(sources, rules, fps)
    base = read_json(kept / "base.json") if kept is not None and (kept / "base.json").is_file() else None
    found: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    notes: list[str] = []
    waiting: list[tuple[str, Path | None, Metric]] = []
    sounds = _sounds(job, sources, rules) if any(registry.load(name).role is None for name in rules.metrics) else ()
    for name in rules.metrics:
        kind = registry.load(name)
        partner = _partner(sources, kind.role)
        if partner is None and kind.needs_partner:
            if job.system != TRUTH:
                notes.append(f"{name} needs --{'expression-source' if kind.role == 'expression' else 'reference'}.")
            continue
        context = _context(job, sources, partner, rules, kind.rate_hz or fps, sounds)
        try:
            path = None if kept is None else kept / f"{name}-{_metric_key(kind, context)}.json"
            if path is not None and base is not None and path.is_file():
                found[name] = read_json(path)
            else:
                waiting.append((name, path, kind(context)))  # type: ignore[call-arg]
        except SetupError as error:
            missing[name] = str(error)
    if base is not None and not waiting:
        progress.say(f"{job.system}/{job.name}: already scored." if job.system else f"{job.name}: already scored.")
    else:
        thumbnails = Thumbnails(rules.frames_shown)
        groups: dict[float, list[Metric]] = {fps: []} if base is None else {}
        for _, _, metric in waiting:
            groups.setdefault(metric.rate_hz or fps, []).append(metric)
        for rate, metrics in groups.items():
            shown = thumbnails if base is None and rate == fps else None
            frames = _stream(job, sources, metrics, rules, rate, shown, progress)
            if shown is not None:
                base = {"frames": frames, "thumbnails": thumbnails.write(kept) if kept is not None else []}
                if kept is not None:
                    write_json(kept / "base.json", base)
        for name, path, metric in waiting:
            found[name] = _plain(metric.result()) | {"rate_hz": metric.rate_hz or fps}
            if path is not None:
                write_json(path, found[name])
    assert base is not None
    row: dict[str, Any] = {"system": job.system, "name": job.name, "result": str(job.result)}
    row |= {role: _text(getattr(job, role)) for role in ("reference", "expression_source", "audio_source")}
    row |= {"sounds": [{**asdict(sound), "path": str(sound.path)} for sound in sounds]}
    row |= {"fps": fps, "own_fps": own, "frames": base["frames"], "values": {}, "series": {}, "series_hz": {}}
    row["missing"] = sorted(missing)
    row["notes"] = [*_notes(base["frames"], own, fps), *notes]
    for name in rules.metrics:
        if name in found:
            row["values"] |= found[name]["values"]
            row["series"] |= found[name]["series"]
            row["series_hz"] |= dict.fromkeys(found[name]["series"], found[name]["rate_hz"])
            row["notes"] += [note for note in found[name]["notes"] if note not in row["notes"]]
    row["thumbnails"] = base["thumbnails"]
    if folder is not None and kept is not None:
        row["details"] = str((kept / "row.json").relative_to(folder))
        write_json(kept / "row.json", row)
    return row, missing


def _open(job: Job) -> dict[str, Source]:
    """role → source, the result first; an expression source that is the reference is not opened twice."""
    sources = {"result": open_source(job.result)}
    for role, path in (("reference", job.reference), ("expression", job.expression_source)):
        if path is not None and (role == "reference" or path != job.reference):
            sources[role] = open_source(path)
    return sources


def _partner(sources: dict[str, Source], role: str | None) -> Source | None:
    if role == "expression":
        return sources.get("expression") or sources.get("reference")
    return sources.get(role) if role is not None else None


def _context(
    job: Job, sources: dict[str, Source], partner: Source | None, rules: Rules, fps: float, sounds: tuple[Sound, ...]
) -> PairContext:
    return PairContext(
        fps=fps,
        result_path=sources["result"].path,
        reference_path=partner.path if partner is not None else None,
        reference_is_clip=partner is not None and partner.clip is not None,
        tracker=rules.tracker,
        tracker_version=rules.tracker_version,
        device=rules.device,
        sounds=sounds,
        expressions=() if job.takes_expression else rules.expressions,
        sync_protocol=rules.sync_protocol,
        pair=rules.pair,
    )


def _sounds(job: Job, sources: dict[str, Source], rules: Rules) -> tuple[Sound, ...]:
    """The speech that the lips should follow: the audio source, else the result's own, else the reference's."""
    if not job.takes_audio:
        return tuple(Sound(path, 0.0, "audio source") for path in rules.sounds)
    if job.audio_source is not None:
        # the reference given as the speech too begins where the reference does
        start_s = rules.reference_start_s if job.audio_source == job.reference else 0.0
        return (Sound(job.audio_source, start_s, "audio source"),)
    if sources["result"].sound() is not None:
        return (Sound(job.result, 0.0, "result"),)
    if "reference" in sources and sources["reference"].sound() is not None:
        return (Sound(sources["reference"].path, rules.reference_start_s, "reference"),)
    return ()


def _row_key(sources: dict[str, Source], rules: Rules, fps: float) -> str:
    digests = {role: source.digest() for role, source in sources.items()}
    start_s = rules.reference_start_s if "reference" in sources else 0.0
    return _key(digests, rules.tracker, rules.tracker_version, fps, start_s, rules.frames_shown, ROW_VERSION)


def _metric_key(kind: Any, context: PairContext) -> str:
    facts = kind.facts(context) if hasattr(kind, "facts") else {}
    return _key(kind.version, facts)


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _stream(
    job: Job,
    sources: dict[str, Source],
    metrics: list[Metric],
    rules: Rules,
    fps: float,
    thumbnails: Thumbnails | None,
    progress: Progress,
) -> dict[str, int]:
    """Hands every frame to every metric; returns the counts."""
    name = f"{job.system}/{job.name}" if job.system else job.name
    # with thumbnails this is the pass whose counts are told: every partner takes part
    wanted = {id(_partner(sources, metric.role)) for metric in metrics}
    roles = [role for role in sources if role != "result" and (thumbnails or id(sources[role]) in wanted)]
    ours = TrackedVideo(sources["result"].frames(fps, warn=progress.warn), _tracker(rules, sources["result"]))
    partners = {id(sources[role]): _Partner(sources[role], role, rules, fps, progress) for role in roles}
    alone = [metric for metric in metrics if _partner(sources, metric.role) is None]
    compared = 0
    with progress.task(f"evaluate {name}", None) as advance:
        for number, (time_s, left) in enumerate(ours):
            sides = {key: side for key, partner in partners.items() if (side := partner.next(number, left)) is not None}
            if partners and not sides and not alone:
                break
            placed = next(iter(sides.values()), (left, None))[0]  # the reference's places, if there are any
            for metric in metrics:
                if metric in alone:
                    metric.update(FramePair(time_s, placed, None))
                elif (both := sides.get(id(_partner(sources, metric.role)))) is not None:
                    metric.update(FramePair(time_s, *both))
            if thumbnails is not None:
                shown = {role: sides[id(sources[role])][1] for role in roles if id(sources[role]) in sides}
                thumbnails.add(time_s, {"result": left, **shown})
            compared += 1
            advance(1)
    ours.count_rest()
    return _counts(ours, {role: partners[id(sources[role])] for role in roles}, compared, job)


class _Partner:
    """A video beside the result, frame by frame, until one of them ends."""

    def __init__(self, source: Source, role: str, rules: Rules, fps: float, progress: Progress):
        # a separate expression source begins with the result
        start_s = rules.reference_start_s if role == "reference" else 0.0
        self.video = TrackedVideo(source.frames(fps, start_s, progress.warn), _tracker(rules, source))
        self._frames = iter(self.video)
        self._places = _stored_faces(source, fps, start_s) if rules.tracker == REFERENCE else None
        self.compared = 0

    def next(self, number: int, left: Side) -> tuple[Side, Side] | None:
        """The result's side and this one's at one moment; None after the end."""
        moment = next(self._frames, None)
        if moment is None:
            return None
        self.compared += 1
        return (left, moment[1]) if self._places is None else _placed(left, moment[1], self._places(number))


def _counts(ours: TrackedVideo, partners: dict[str, _Partner], compared: int, job: Job) -> dict[str, int]:
    main = partners.get("reference") or partners.get("expression")
    if main is not None:
        compared = main.compared
    if not compared:
        raise InputError(
            f"{job.name}: {job.result} and {job.reference or job.expression_source} have no moment in common."
        )
    counts = {"compared": compared, "left_result": ours.read - compared}
    counts |= {"no_face_result": ours.without_face, "several_faces_result": ours.with_several}
    for role, partner in partners.items():
        partner.video.count_rest()
        if role != "reference" and "reference" in partners:
            counts[f"compared_{role}"] = partner.compared
        counts[f"left_{role}"] = partner.video.read - partner.compared
        counts[f"no_face_{role}"] = partner.video.without_face
        counts[f"several_faces_{role}"] = partner.video.with_several
    return counts


def _tracker(rules: Rules, source: Source) -> FaceTracker | None:
    if rules.tracker == REFERENCE:
        return None
    return adapters.create("tracker", rules.tracker, video=source.path, device=rules.device)


def _stored_faces(source: Source, fps: float, start_s: float) -> Callable[[int], Face | None]:
    """From the number of a compared frame to the face that the clip has stored for it."""
    clip = source.clip
    assert clip is not None  # checked before any work
    arrays = clip.arrays

    def face(number: int) -> Face | None:
        index = clip_index(clip, start_s + number / fps)
        if not arrays["valid"][index]:
            return None
        points = arrays["landmarks"][index]
        pose = arrays["camera_to_world"][index].astype(np.float64)
        return Face(points, points, arrays["irises"][index], arrays["expression"][index], pose, 1.0)

    return face


def _placed(left: Side, right: Side, face: Face | None) -> tuple[Side, Side]:
    """Both sides with the partner's stored face, in the pixels of each."""
    if face is None:
        return left, right
    scale = np.array(left.image.shape[1::-1]) / np.array(right.image.shape[1::-1])
    points = face.landmarks * scale
    moved = Face(points, points, face.irises * scale, face.expression, face.camera_to_world, face.score)
    return Side(left.image, moved, left.matte), Side(right.image, face, right.matte)


def _notes(frames: dict[str, int], own: dict[str, float], fps: float) -> list[str]:
    """A line for everything by which the videos differ."""
    notes = []
    partner = "reference" if "left_reference" in frames else "expression"
    for role in ("reference", "expression"):
        left = (frames["left_result"], frames.get(f"left_{role}", 0)) if role == partner else (0, 0)
        compared = frames.get(f"compared_{role}", frames["compared"])
        if f"compared_{role}" in frames:
            left = (frames["compared"] + frames["left_result"] - compared, frames[f"left_{role}"])
        if any(left) and f"left_{role}" in frames:
            notes.append(
                f"Lengths differ: {compared} frames compared, {left[0]} of the result and "
                f"{left[1]} of the {_word(role)} left over."
            )
    for role, rate in own.items():
        if abs(rate - fps) > 1e-3 * fps:
            notes.append(f"The {_word(role)} has {rate:g} frames/s, compared at {fps:g} by time stamps.")
    for role in ("result", "reference", "expression"):
        if frames.get(f"no_face_{role}"):
            notes.append(f"No face in {frames[f'no_face_{role}']} frames of the {_word(role)}.")
        if count := frames.get(f"several_faces_{role}"):
            notes.append(f"Several faces in {count} frames of the {_word(role)}: one was followed.")
    return notes


def _word(role: str) -> str:
    return "expression source" if role == "expression" else role


def _plain(scores: Scores) -> dict[str, Any]:
    """Scores in terms of JSON; unknown numbers are None."""
    return {
        "values": {key: _number(value) for key, value in scores.values.items()},
        "series": {key: [_number(value) for value in track] for key, track in scores.series.items()},
        "notes": list(scores.notes),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def rows_of(table_rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows without what grows with the length of the video; that stays in the file ``details``."""
    for row in table_rows:
        yield {key: value for key, value in row.items() if key not in ("series", "series_hz", "thumbnails")}
