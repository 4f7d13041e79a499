"""One clip before it is drawn, and its frames one by one: what is said, how it sounds, how it moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jean.errors import UsageError
from jean.geometry import Camera
from jean.synthetic_speaker.controls import CONTROLS, UPPER_CONTROLS
from jean.synthetic_speaker.face import Face, mouth_opening, mouth_rounding, move
from jean.synthetic_speaker.identity import Identity
from jean.synthetic_speaker.language import sentence
from jean.synthetic_speaker.pose_meshes import GAZE_RANGE_RAD, gaze_rotation
from jean.synthetic_speaker.shape import EYE_CENTER, EYE_RADIUS
from jean.synthetic_speaker.speaker import Speaker
from jean.synthetic_speaker.speech import PROSODY, Utterance, pad, prosody, schedule, synthesise
from jean.synthetic_speaker.tracks import Motion, motion

FOCAL = 1.76  # focal length over the side of the picture: a portrait lens
HEAD_AT_CM = (0.0, 2.0, 62.0)  # the resting head before the camera
NECK_CM = (0.0, 7.5, 3.5)  # the point of the head about which it turns


@dataclass(frozen=True)
class Performance:
    """What happens in one clip.

    Attributes:
        person, emotion, strength, seed, sentences: what it was made from.
        fps: frames a second.
        utterance: phonemes and their times.
        wave: float32 [S], mono at ``speech.RATE_HZ``.
        motion: all tracks, one row a frame.
    """

    person: Identity
    emotion: str
    strength: float
    seed: int
    sentences: tuple[str, ...]
    fps: float
    utterance: Utterance
    wave: np.ndarray
    motion: Motion

    @property
    def frame_count(self) -> int:
        """Number of frames T: the sound's length in frames, rounded up."""
        return len(self.motion.controls)


def perform(
    person: Identity,
    emotion: str = "neutral",
    strength: float = 1.0,
    sentences: list[str] | None = None,
    seconds: float | None = None,
    fps: float = 25.0,
    seed: int = 0,
) -> Performance:
    """Draws a performance; the same arguments give the same one.

    Args:
        person: who speaks.
        emotion: one of ``tracks.EMOTIONS``. strength: 0 (neutral) to 1.
        sentences: words of ``language.DICTIONARY``; None draws as many as fit into ``seconds``.
        seconds: length; the last silence is stretched to it. None: as long as the sentences take.
        fps: frames a second.
        seed: of everything but the person.

    Raises:
        UsageError: unknown emotion or word, strength outside [0, 1], or too many words for ``seconds``.
    """
    if emotion not in PROSODY:
        raise UsageError(f"there is no emotion called {emotion!r}.", f"Choose one of: {', '.join(PROSODY)}.")
    if not 0 <= strength <= 1:
        raise UsageError(f"the strength {strength} is outside 0 to 1.", "Choose one within.")
    if not (fps > 0 and (seconds is None or seconds > 0)):
        raise UsageError("the frame rate and the length must be positive.", "Choose other values.")
    voice = prosody(emotion, strength)
    # one generator a purpose: the expression must not change when a sentence does
    word_rng, time_rng, sound_rng, motion_rng = np.random.default_rng([0x9E, person.seed, seed]).spawn(4)
    said = list(sentences) if sentences is not None else _draw_sentences(person, emotion, strength, seconds, word_rng)
    utterance = schedule(said, person, voice, time_rng)
    if seconds is not None:
        if utterance.duration_s > seconds + 1e-9:
            raise UsageError(
                f"the sentences take {utterance.duration_s:.1f} s, more than {seconds} s.", "Give fewer, or more time."
            )
        utterance = pad(utterance, seconds)
    else:
        utterance = pad(utterance, int(np.ceil(utterance.duration_s * fps - 1e-9)) / fps)
    wave = synthesise(utterance, person, voice, sound_rng)
    count = int(np.ceil(utterance.duration_s * fps - 1e-9))
    moves = motion(utterance, emotion, strength, count, fps, motion_rng)
    return Performance(person, emotion, strength, seed, tuple(said), fps, utterance, wave, moves)


def _draw_sentences(
    person: Identity, emotion: str, strength: float, seconds: float | None, rng: np.random.Generator
) -> list[str]:
    """As many sentences as fit into ``seconds`` (at least one; two if no length is asked for)."""
    voice = prosody(emotion, strength)

    def fits(sentences: list[str]) -> bool:
        # 1.12: the longest that the random lengths of schedule() can make of it
        return (
            seconds is None or 1.12 * schedule(sentences, person, voice, np.random.default_rng(0)).duration_s < seconds
        )

    words = sentence(int(rng.integers(1 << 30))).split()
    while len(words) > 1 and not fits([" ".join(words)]):
        words = words[:-1]
    said = [" ".join(words)]
    while True:
        more = [*said, sentence(int(rng.integers(1 << 30)))]
        if (seconds is None and len(said) == 2) or not fits(more):
            return said
        said = more


def clip_camera(size: int) -> Camera:
    """The camera of every synthetic clip of ``size`` px."""
    return Camera(FOCAL * size, (size / 2, size / 2), size, size)


def head_to_camera(moves: Motion, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """[4, 4] of the head, and of a body with the head at rest on it, from head space to camera axes."""
    yaw, pitch, roll = moves.turn_rad[frame]
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turn = gaze_rotation(yaw, pitch) @ about_z
    pivot = np.array(NECK_CM)
    head, body = np.eye(4), np.eye(4)
    head[:3, :3] = turn
    head[:3, 3] = pivot - turn @ pivot + HEAD_AT_CM + moves.shift_cm[frame]
    body[:3, 3] = np.array(HEAD_AT_CM) + 0.45 * moves.shift_cm[frame]
    return head, body


def ground_truth(face: Face, performance: Performance, size: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and meta of ``truth.Truth``, computed from the moving geometry itself."""
    moves, camera = performance.motion, clip_camera(size)
    count = performance.frame_count
    neutral = move(face, {})[face.landmarks]
    landmarks_3d = np.empty((count, 68, 3))
    landmarks, irises = np.empty((count, 68, 2)), np.empty((count, 2, 2))
    poses = np.empty((count, 4, 4))
    opening, rounding = np.empty(count), np.empty(count)
    for t in range(count):
        controls = dict(zip(CONTROLS, moves.controls[t], strict=True))
        landmarks_3d[t] = move(face, controls)[face.landmarks]
        to_camera, _ = head_to_camera(moves, t)
        poses[t] = np.linalg.inv(to_camera)
        landmarks[t] = project(landmarks_3d[t], to_camera, camera)
        irises[t] = project(iris_centers(face, controls), to_camera, camera)
        opening[t] = mouth_opening(landmarks_3d[t])
        rounding[t] = mouth_rounding(landmarks_3d[t], neutral)
    gaze = moves.controls[:, [CONTROLS.index("gaze_x"), CONTROLS.index("gaze_y")]] * GAZE_RANGE_RAD
    arrays = {
        "times_s": np.arange(count) / performance.fps,
        "landmarks": landmarks.astype(np.float32),
        "landmarks_3d": landmarks_3d.astype(np.float32),
        "irises": irises.astype(np.float32),
        "camera_to_world": poses,
        "expression": moves.controls.astype(np.float32),
        "mouth_opening": opening,
        "mouth_rounding": rounding,
        "gaze": gaze,
        "emotion_strength": moves.strength,
        "shape": neutral.astype(np.float32),
        "phoneme_starts_s": performance.utterance.starts_s,
        "phoneme_ends_s": performance.utterance.ends_s,
    }
    meta = {
        "fps": performance.fps,
        "size_px": size,
        "camera": {"focal_px": camera.focal_px, "center_px": list(camera.center_px)},
        "expression": {"names": list(CONTROLS), "upper": [name in UPPER_CONTROLS for name in CONTROLS]},
        "emotion": performance.emotion,
        "strength": performance.strength,
        "identity": performance.person.seed,
        "seed": performance.seed,
        "sentences": list(performance.sentences),
        "phonemes": list(performance.utterance.names),
    }
    return arrays, meta


def project(points: np.ndarray, to_camera: np.ndarray, camera: Camera) -> np.ndarray:
    """Pixels [N, 2] of points [N, 3] in head space."""
    view = points @ to_camera[:3, :3].T + to_camera[:3, 3]
    return view[:, :2] / view[:, 2:] * camera.focal_px + np.array(camera.center_px)


def iris_centers(face: Face, controls: dict[str, float]) -> np.ndarray:
    """Centres of the pupils (subject's right, left) on the eyeballs: [2, 3], head space, cm."""
    turn = gaze_rotation(controls["gaze_x"] * GAZE_RANGE_RAD, controls["gaze_y"] * GAZE_RANGE_RAD)
    ahead = turn @ np.array([0.0, 0.0, -EYE_RADIUS])
    centers = np.array([[-EYE_CENTER[0], EYE_CENTER[1], EYE_CENTER[2]], EYE_CENTER])
    return (centers + ahead) * face.scale + face.offset


def pictures(
    speaker: Speaker, performance: Performance, size: int, background: np.ndarray | None = None
) -> Iterator[Any]:
    """Draws the frames of a performance in order (``draw.Picture`` each).

    Args:
        speaker: the built speaker of the performance.
        performance: what is drawn.
        size: side of the frames, px.
        background: as ``draw.draw`` takes it; None: the one that belongs to the performance.
    """
    from jean.synthetic_speaker.draw import SUPERSAMPLING, draw
    from jean.synthetic_speaker.paint import paint_background

    if background is None:
        background = paint_background(performance.person, performance.seed, size * SUPERSAMPLING)
    camera = clip_camera(size)
    for t in range(performance.frame_count):
        controls = dict(zip(CONTROLS, performance.motion.controls[t], strict=True))
        head, body = head_to_camera(performance.motion, t)
        yield draw(speaker, controls, head, body, camera, background)
