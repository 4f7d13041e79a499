"""Streams a result and its partners past every metric, frame by frame.

Every video is decoded once, tracked once, and handed frame by frame to all metrics; nothing grows with
the length of a video but a few numbers a frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jean.clips.sources import Source, clip_index
from jean.errors import InputError
from jean.evaluation.pairing import Job
from jean.evaluation.partners import partner_of
from jean.evaluation.rules import REFERENCE, Rules
from jean.evaluation.thumbnails import Thumbnails
from jean.features import registry as adapters
from jean.features.base import Face, FaceTracker
from jean.metrics.base import FramePair, Metric, Side
from jean.metrics.faces import TrackedVideo
from jean.progress import Progress


def stream(
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
    wanted = {id(partner_of(sources, metric.role)) for metric in metrics}
    roles = [role for role in sources if role != "result" and (thumbnails or id(sources[role]) in wanted)]
    ours = TrackedVideo(sources["result"].frames(fps, warn=progress.warn), _tracker(rules, sources["result"]))
    partners = {id(sources[role]): _Partner(sources[role], role, rules, fps, progress) for role in roles}
    alone = [metric for metric in metrics if partner_of(sources, metric.role) is None]
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
                elif (both := sides.get(id(partner_of(sources, metric.role)))) is not None:
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
