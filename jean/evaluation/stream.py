"""Feeds the frames of a result and its partners to the metrics.

Each video is decoded and tracked once for all metrics. Memory does not grow with the length of a video, except for a
few numbers per frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np

from jean.clips.sources import Source, clip_index
from jean.errors import InputError
from jean.evaluation.context import Settings, partner_of
from jean.evaluation.pairing import Job
from jean.evaluation.thumbnails import Thumbnails
from jean.features import registry as adapters
from jean.features.base import Face, FaceTracker
from jean.metrics.base import REFERENCE_TRACKER, FramePair, Metric, TrackedFrame
from jean.metrics.faces import TrackedVideo
from jean.progress import Progress


def stream(
    job: Job,
    sources: Mapping[str, Source],
    metrics: Sequence[Metric],
    settings: Settings,
    fps: float,
    thumbnails: Thumbnails | None,
    progress: Progress,
) -> dict[str, int]:
    """Updates every metric with every frame pair.

    Args:
        job: the result and its partners.
        sources: role → opened video.
        metrics: metrics of one frame rate.
        settings: settings of the evaluation.
        fps: that frame rate.
        thumbnails: collects moments; then all partners are read, even if no metric needs them.
        progress: advances with each frame.

    Returns:
        Counts by name: ``compared``, and for each video ``left_ROLE`` (frames left over), ``no_face_ROLE`` and
        ``several_faces_ROLE``; ``compared_expression`` for a separate expression source.

    Raises:
        InputError: the videos do not overlap in time.
    """
    needed = {id(partner_of(sources, metric.role)) for metric in metrics}
    roles = [role for role in sources if role != "result" and (thumbnails or id(sources[role]) in needed)]
    tracker = _tracker(settings, sources["result"], fps, 0.0)
    result = TrackedVideo(sources["result"].frames(fps, warn=progress.warn), tracker)
    partners = {id(sources[role]): _Partner(sources[role], role, settings, fps, progress) for role in roles}
    without_partner = [metric for metric in metrics if partner_of(sources, metric.role) is None]
    compared = 0
    with progress.task(f"evaluate {job.label}", None) as advance:
        for number, (time_s, frame) in enumerate(result):
            pairs = {
                key: pair for key, partner in partners.items() if (pair := partner.next(number, frame)) is not None
            }
            if partners and not pairs and not without_partner:
                break
            # with ``REFERENCE_TRACKER``, the face of the result's frame comes from the partner
            result_frame = next(iter(pairs.values()), (frame, None))[0]
            for metric in metrics:
                if metric in without_partner:
                    metric.update(FramePair(time_s, result_frame, None))
                elif (pair := pairs.get(id(partner_of(sources, metric.role)))) is not None:
                    metric.update(FramePair(time_s, *pair))
            if thumbnails is not None:
                partner_frames = {role: pairs[id(sources[role])][1] for role in roles if id(sources[role]) in pairs}
                thumbnails.add(time_s, {"result": frame, **partner_frames})
            compared += 1
            advance(1)
    result.read_to_end()
    return _counts(result, {role: partners[id(sources[role])] for role in roles}, compared, job)


class _Partner:
    """A video that is read in step with the result.

    Attributes:
        video: the tracked video.
        compared: number of frames it has in common with the result.
    """

    def __init__(self, source: Source, role: str, settings: Settings, fps: float, progress: Progress):
        # a separate expression source starts together with the result
        start_s = settings.reference_start_s if role == "reference" else 0.0
        tracker = _tracker(settings, source, fps, start_s)
        self.video = TrackedVideo(source.frames(fps, start_s, progress.warn), tracker)
        self._frames = iter(self.video)
        self._stored_face = _stored_faces(source, fps, start_s) if settings.tracker == REFERENCE_TRACKER else None
        self.compared = 0

    def next(self, number: int, result: TrackedFrame) -> tuple[TrackedFrame, TrackedFrame] | None:
        """The frames ``number`` of the result and of this video; None after this video's end."""
        item = next(self._frames, None)
        if item is None:
            return None
        self.compared += 1
        frame = item[1]
        return (result, frame) if self._stored_face is None else _with_face(result, frame, self._stored_face(number))


def _counts(result: TrackedVideo, partners: Mapping[str, _Partner], compared: int, job: Job) -> dict[str, int]:
    main = partners.get("reference") or partners.get("expression")
    if main is not None:
        compared = main.compared
    if not compared:
        raise InputError(
            f"{job.name}: {job.result} and {job.reference or job.expression_source} do not overlap in time."
        )
    counts = {"compared": compared, "left_result": result.frame_count - compared}
    counts |= {"no_face_result": result.without_face, "several_faces_result": result.with_several}
    for role, partner in partners.items():
        partner.video.read_to_end()
        if role != "reference" and "reference" in partners:
            counts[f"compared_{role}"] = partner.compared
        counts[f"left_{role}"] = partner.video.frame_count - partner.compared
        counts[f"no_face_{role}"] = partner.video.without_face
        counts[f"several_faces_{role}"] = partner.video.with_several
    return counts


class _StoredTracks:
    """A tracker that returns the faces that a clip stores."""

    def __init__(self, source: Source, fps: float, start_s: float):
        self._face = _stored_faces(source, fps, start_s)

    def track(self, frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[list[Face]]:
        """Yields the stored face of each frame, or none."""
        for number, _ in enumerate(frames):
            face = self._face(number)
            yield [] if face is None else [face]


def _tracker(settings: Settings, source: Source, fps: float, start_s: float) -> FaceTracker | None:
    if not source.has_pictures:  # its tracks are all there is
        return cast(FaceTracker, _StoredTracks(source, fps, start_s))
    if settings.tracker == REFERENCE_TRACKER:
        return None
    return adapters.create("tracker", settings.tracker, video=source.path, device=settings.device)


def _stored_faces(source: Source, fps: float, start_s: float) -> Callable[[int], Face | None]:
    """Returns a function from the number of a compared frame to the face stored in the clip for that time."""
    clip = source.clip
    assert clip is not None  # ``evaluate`` has checked this
    arrays = clip.arrays

    def face(number: int) -> Face | None:
        index = clip_index(clip, start_s + number / fps)
        if not arrays["valid"][index]:
            return None
        points = arrays["landmarks"][index]
        pose = arrays["camera_to_world"][index].astype(np.float64)
        return Face(points, points, arrays["irises"][index], arrays["expression"][index], pose, 1.0)

    return face


def _with_face(result: TrackedFrame, reference: TrackedFrame, face: Face | None) -> tuple[TrackedFrame, TrackedFrame]:
    """Both frames with the face stored for the reference, scaled to the pixels of each."""
    if face is None:
        return result, reference
    scale = np.array(result.image.shape[1::-1]) / np.array(reference.image.shape[1::-1])
    points = face.landmarks * scale
    scaled = Face(points, points, face.irises * scale, face.expression, face.camera_to_world, face.score)
    return (
        TrackedFrame(result.image, scaled, result.matte),
        TrackedFrame(reference.image, face, reference.matte),
    )
