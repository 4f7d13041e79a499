"""Writes one synthetic clip: an ordinary video with sound, a wav, the ground truth, the mattes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.features.trackers.truth_file import Truth, load_truth, matte_path, save_matte, save_truth, truth_path
from jean.synthetic_speaker.identity import identity
from jean.synthetic_speaker.performance import Performance, ground_truth, perform, pictures
from jean.synthetic_speaker.speaker import Speaker, build_speaker
from jean.synthetic_speaker.speech import RATE_HZ


def write_clip(
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

    The truth is written last, so its presence means that the clip is whole; a whole clip that was made
    from the same arguments is kept.

    Args:
        stem: path without suffix; the folder is made.
        identity_seed: who speaks.
        emotion, strength, sentences, seconds, fps, seed: see ``performance.perform``.
        size: side of the frames, px, even.
        speaker: the built speaker of ``identity_seed``, to save half a second a clip.
        matte: also write opacity of head and torso.

    Returns:
        The path of the video.
    """
    from jean.media import write_wav

    stem = Path(stem)
    video = stem.with_name(stem.name + ".mp4")
    person = identity(identity_seed)
    performance = perform(person, emotion, strength, sentences, seconds, fps, seed)
    if _is_whole(video, performance, size, matte):
        return video
    speaker = speaker or build_speaker(person)
    arrays, meta = ground_truth(speaker.face, performance, size)
    truth_path(video).unlink(missing_ok=True)
    mattes = _write_video(video, speaker, performance, size, matte)
    write_wav(stem.with_name(stem.name + ".wav"), performance.wave, RATE_HZ)
    if matte:
        save_matte(matte_path(video), np.stack(mattes))
    save_truth(truth_path(video), Truth(arrays, meta))
    return video


def _is_whole(video: Path, performance: Performance, size: int, matte: bool) -> bool:
    """Whether the clip on disk was made from these arguments."""
    wanted = [video, video.with_suffix(".wav"), truth_path(video), *([matte_path(video)] if matte else [])]
    if not all(path.is_file() for path in wanted):
        return False
    meta = load_truth(video).meta
    same = (meta["identity"], meta["seed"], meta["emotion"], meta["strength"], meta["fps"], meta["size_px"])
    mine = (
        performance.person.seed,
        performance.seed,
        performance.emotion,
        performance.strength,
        performance.fps,
        size,
    )
    return (
        same == mine
        and meta["sentences"] == list(performance.sentences)
        and len(load_truth(video).arrays["times_s"]) == performance.frame_count
    )


def _write_video(
    video: Path, speaker: Speaker, performance: Performance, size: int, keep_matte: bool
) -> list[np.ndarray]:
    from jean.media import VideoWriter

    mattes = []
    with VideoWriter(video, size=(size, size), fps=performance.fps, audio=(performance.wave, RATE_HZ)) as writer:
        for picture in pictures(speaker, performance, size):
            writer.write(picture.image)
            if keep_matte:
                mattes.append(picture.matte)
    return mattes
