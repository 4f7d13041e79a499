"""Writes one synthetic video: mp4 with sound, wav, ground truth, mattes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.features.trackers.truth_file import Truth, load_truth, matte_path, save_matte, save_truth, truth_path
from jean.synthetic_speaker.performance import Performance, draw_performance, ground_truth, perform
from jean.synthetic_speaker.speaker import Speaker, build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speech_synthesis import RATE_HZ


def write_speaker_video(
    stem: str | Path,
    identity_seed: int,
    emotion: str = "neutral",
    strength: float = 1.0,
    sentences: list[str] | None = None,
    seconds: float | None = None,
    fps: float = 25.0,
    size: int = 256,
    seed: int = 0,
    *,
    speaker: Speaker | None = None,
    matte: bool = True,
) -> Path:
    """Writes ``STEM.mp4``, ``STEM.wav``, ``STEM.truth.safetensors`` and, with ``matte``, ``STEM.matte.npz``.

    The truth is written last, so its presence means that the video is complete. A complete video of the same
    arguments is kept.

    Args:
        stem: path without suffix; its folder is created.
        identity_seed: seed of the speaker's identity.
        emotion, strength, sentences, seconds, fps, seed: see ``performance.perform``.
        size: side of the frames, px, even.
        speaker: the speaker of ``identity_seed``, to save the half second of building it.
        matte: also write the opacity of head and torso.

    Returns:
        The path of the video.
    """
    from jean.media import write_wav

    stem = Path(stem)
    video = stem.with_name(stem.name + ".mp4")
    identity = sample_identity(identity_seed)
    performance = perform(identity, emotion, strength, sentences, seconds, fps, seed)
    if _is_complete(video, performance, size, matte):
        return video
    speaker = speaker or build_speaker(identity)
    arrays, meta = ground_truth(speaker.rig, performance, size)
    truth_path(video).unlink(missing_ok=True)
    mattes = _write_video(video, speaker, performance, size, matte)
    write_wav(stem.with_name(stem.name + ".wav"), performance.wave, RATE_HZ)
    if matte:
        save_matte(matte_path(video), np.stack(mattes))
    save_truth(truth_path(video), Truth(arrays, meta))
    return video


def _is_complete(video: Path, performance: Performance, size: int, matte: bool) -> bool:
    """Whether a complete video of these arguments is on disk."""
    files = [video, video.with_suffix(".wav"), truth_path(video), *([matte_path(video)] if matte else [])]
    if not all(path.is_file() for path in files):
        return False
    meta = load_truth(video).meta
    stored = (meta["identity"], meta["seed"], meta["emotion"], meta["strength"], meta["fps"], meta["size_px"])
    requested = (
        performance.identity.seed,
        performance.seed,
        performance.emotion,
        performance.strength,
        performance.fps,
        size,
    )
    return (
        stored == requested
        and meta["sentences"] == list(performance.sentences)
        and len(load_truth(video).arrays["times_s"]) == performance.frame_count
    )


def _write_video(
    video: Path, speaker: Speaker, performance: Performance, size: int, keep_matte: bool
) -> list[np.ndarray]:
    """Draws and encodes the frames; returns the mattes if ``keep_matte``."""
    from jean.media import VideoWriter

    mattes = []
    with VideoWriter(video, size=(size, size), fps=performance.fps, audio=(performance.wave, RATE_HZ)) as writer:
        for frame in draw_performance(speaker, performance, size):
            writer.write(frame.image)
            if keep_matte:
                mattes.append(frame.matte)
    return mattes
