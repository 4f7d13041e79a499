"""A performance of the synthetic speaker: sentences, sound and motion, their ground truth and drawn frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jean.errors import UsageError
from jean.geometry import Camera
from jean.synthetic_speaker.controls import CONTROLS, UPPER_CONTROLS
from jean.synthetic_speaker.draw import SUPERSAMPLING, DrawnFrame, draw_frame
from jean.synthetic_speaker.face_rig import FaceRig, deform_skin, mouth_opening, mouth_rounding
from jean.synthetic_speaker.head_shape import EYE_CENTER, EYE_RADIUS
from jean.synthetic_speaker.language import make_sentence
from jean.synthetic_speaker.pose_meshes import GAZE_RANGE_RAD, gaze_rotation
from jean.synthetic_speaker.speaker import Speaker
from jean.synthetic_speaker.speaker_identity import SpeakerIdentity
from jean.synthetic_speaker.speaker_motion import SpeakerMotion, sample_motion
from jean.synthetic_speaker.speech_synthesis import (
    PROSODY,
    Utterance,
    emotion_prosody,
    pad_silence,
    schedule_phonemes,
    synthesise_speech,
)
from jean.synthetic_speaker.textures import background_image

FOCAL = 1.76  # focal length over the frame's side, as of a portrait lens
HEAD_AT_CM = (0.0, 2.0, 62.0)  # origin of the resting head space, camera axes
NECK_CM = (0.0, 7.5, 3.5)  # pivot of the head rotation, head space


@dataclass(frozen=True)
class Performance:
    """Sound and motion of one video.

    Attributes:
        identity, emotion, strength, seed, sentences, fps: the arguments of ``perform``.
        utterance: phonemes and their times.
        wave: float32 [S], mono at ``speech_synthesis.RATE_HZ``.
        motion: all motion tracks, one row per frame.
    """

    identity: SpeakerIdentity
    emotion: str
    strength: float
    seed: int
    sentences: tuple[str, ...]
    fps: float
    utterance: Utterance
    wave: np.ndarray
    motion: SpeakerMotion

    @property
    def frame_count(self) -> int:
        """Number of frames T: the length of the sound in frames, rounded up."""
        return len(self.motion.controls)


def perform(
    identity: SpeakerIdentity,
    emotion: str = "neutral",
    strength: float = 1.0,
    sentences: list[str] | None = None,
    seconds: float | None = None,
    fps: float = 25.0,
    seed: int = 0,
    cohesion: float = 0.0,
) -> Performance:
    """Generates a performance; deterministic in its arguments.

    Args:
        identity: who speaks.
        emotion: one of ``speaker_motion.EMOTIONS``.
        strength: of the emotion, 0 (neutral) to 1.
        sentences: sentences of words of ``language.DICTIONARY``; None samples as many as fit into ``seconds``.
        seconds: duration, reached by a longer last silence; None: as long as the sentences take.
        fps: frame rate, Hz.
        seed: of everything except the identity.
        cohesion: how far gaze, blinks and head pose follow emotion, speech and each other, 0 (not at all) to 1.

    Raises:
        UsageError: unknown emotion or word, strength or cohesion outside [0, 1], or too many words for ``seconds``.
    """
    if emotion not in PROSODY:
        raise UsageError(f"there is no emotion called {emotion!r}.", f"Choose one of: {', '.join(PROSODY)}.")
    if not 0 <= strength <= 1:
        raise UsageError(f"the strength {strength} is outside the range 0 to 1.", "Choose a value in this range.")
    if not 0 <= cohesion <= 1:
        raise UsageError(f"the cohesion {cohesion} is outside the range 0 to 1.", "Choose a value in this range.")
    if not (fps > 0 and (seconds is None or seconds > 0)):
        raise UsageError("the frame rate and the length must be positive.", "Choose other values.")
    voice = emotion_prosody(emotion, strength)
    # One generator per purpose, so that other sentences do not change the expression.
    word_rng, time_rng, sound_rng, motion_rng = np.random.default_rng([0x9E, identity.seed, seed]).spawn(4)
    if sentences is None:
        sentences = _sample_sentences(identity, emotion, strength, seconds, word_rng)
    utterance = schedule_phonemes(sentences, identity, voice, time_rng)
    if seconds is not None:
        if utterance.duration_s > seconds + 1e-9:
            raise UsageError(
                f"the sentences take {utterance.duration_s:.1f} s, more than {seconds} s.", "Give fewer, or more time."
            )
        utterance = pad_silence(utterance, seconds)
    else:
        utterance = pad_silence(utterance, int(np.ceil(utterance.duration_s * fps - 1e-9)) / fps)
    wave = synthesise_speech(utterance, identity, voice, sound_rng)
    count = int(np.ceil(utterance.duration_s * fps - 1e-9))
    motion = sample_motion(utterance, emotion, strength, count, fps, motion_rng, cohesion)
    return Performance(identity, emotion, strength, seed, tuple(sentences), fps, utterance, wave, motion)


def _sample_sentences(
    identity: SpeakerIdentity, emotion: str, strength: float, seconds: float | None, rng: np.random.Generator
) -> list[str]:
    """As many sentences as fit into ``seconds``, at least one; two if ``seconds`` is None."""
    voice = emotion_prosody(emotion, strength)

    def fits(sentences: list[str]) -> bool:
        if seconds is None:
            return True
        utterance = schedule_phonemes(sentences, identity, voice, np.random.default_rng(0))
        # schedule_phonemes() lengthens a phoneme by at most 1.12.
        return 1.12 * utterance.duration_s < seconds

    words = make_sentence(int(rng.integers(1 << 30))).split()
    while len(words) > 1 and not fits([" ".join(words)]):
        words = words[:-1]
    sentences = [" ".join(words)]
    while True:
        more = [*sentences, make_sentence(int(rng.integers(1 << 30)))]
        if (seconds is None and len(sentences) == 2) or not fits(more):
            return sentences
        sentences = more


def clip_camera(size: int) -> Camera:
    """The camera of every synthetic video with frames of ``size`` px."""
    return Camera(FOCAL * size, (size / 2, size / 2), size, size)


def head_to_camera(motion: SpeakerMotion, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Transforms [4, 4] of head and body in one frame, from head space to camera axes, cm."""
    yaw, pitch, roll = motion.turn_rad[frame]
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turn = gaze_rotation(yaw, pitch) @ about_z
    pivot = np.array(NECK_CM)
    head, body = np.eye(4), np.eye(4)
    head[:3, :3] = turn
    head[:3, 3] = pivot - turn @ pivot + HEAD_AT_CM + motion.shift_cm[frame]
    body[:3, 3] = np.array(HEAD_AT_CM) + 0.45 * motion.shift_cm[frame]
    return head, body


def ground_truth(rig: FaceRig, performance: Performance, size: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Ground truth of a performance, computed from the deformed meshes.

    Args:
        rig: of the performance's identity.
        performance: T frames.
        size: side of the frames, px.

    Returns:
        Arrays and metadata of ``jean.features.trackers.truth_file.Truth``.
    """
    motion, camera = performance.motion, clip_camera(size)
    count = performance.frame_count
    neutral = deform_skin(rig, {})[rig.landmarks]
    landmarks_3d = np.empty((count, 68, 3))
    landmarks, irises = np.empty((count, 68, 2)), np.empty((count, 2, 2))
    poses = np.empty((count, 4, 4))
    opening, rounding = np.empty(count), np.empty(count)
    for t in range(count):
        controls = dict(zip(CONTROLS, motion.controls[t], strict=True))
        landmarks_3d[t] = deform_skin(rig, controls)[rig.landmarks]
        to_camera, _ = head_to_camera(motion, t)
        poses[t] = np.linalg.inv(to_camera)
        landmarks[t] = project_to_pixels(landmarks_3d[t], to_camera, camera)
        irises[t] = project_to_pixels(iris_centers(rig, controls), to_camera, camera)
        opening[t] = mouth_opening(landmarks_3d[t])
        rounding[t] = mouth_rounding(landmarks_3d[t], neutral)
    gaze = motion.controls[:, [CONTROLS.index("gaze_x"), CONTROLS.index("gaze_y")]] * GAZE_RANGE_RAD
    arrays = {
        "times_s": np.arange(count) / performance.fps,
        "landmarks": landmarks.astype(np.float32),
        "landmarks_3d": landmarks_3d.astype(np.float32),
        "irises": irises.astype(np.float32),
        "camera_to_world": poses,
        "expression": motion.controls.astype(np.float32),
        "mouth_opening": opening,
        "mouth_rounding": rounding,
        "gaze": gaze,
        "emotion_strength": motion.strength,
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
        "identity": performance.identity.seed,
        "seed": performance.seed,
        "sentences": list(performance.sentences),
        "phonemes": list(performance.utterance.names),
    }
    return arrays, meta


def project_to_pixels(points: np.ndarray, to_camera: np.ndarray, camera: Camera) -> np.ndarray:
    """Projects points [N, 3] in head space to pixels [N, 2]."""
    view = points @ to_camera[:3, :3].T + to_camera[:3, 3]
    return view[:, :2] / view[:, 2:] * camera.focal_px + np.array(camera.center_px)


def iris_centers(rig: FaceRig, controls: dict[str, float]) -> np.ndarray:
    """Centres of both pupils (subject's right, left): [2, 3], head space, cm."""
    turn = gaze_rotation(controls["gaze_x"] * GAZE_RANGE_RAD, controls["gaze_y"] * GAZE_RANGE_RAD)
    ahead = turn @ np.array([0.0, 0.0, -EYE_RADIUS])
    centers = np.array([[-EYE_CENTER[0], EYE_CENTER[1], EYE_CENTER[2]], EYE_CENTER])
    return (centers + ahead) * rig.scale + rig.offset


def draw_performance(
    speaker: Speaker, performance: Performance, size: int, background: np.ndarray | None = None
) -> Iterator[DrawnFrame]:
    """Draws the frames of a performance in order.

    Args:
        speaker: the speaker of the performance's identity.
        performance: the motion to draw.
        size: side of the frames, px.
        background: float32 image, see ``draw.draw_frame``; None: the performance's own.
    """
    if background is None:
        background = background_image(performance.identity, performance.seed, size * SUPERSAMPLING)
    camera = clip_camera(size)
    for t in range(performance.frame_count):
        controls = dict(zip(CONTROLS, performance.motion.controls[t], strict=True))
        head, body = head_to_camera(performance.motion, t)
        yield draw_frame(speaker, controls, head, body, camera, background)
