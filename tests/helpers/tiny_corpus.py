"""Creates clips of several people that contain only tracks and sound, from formulas; a clip takes milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.clips.audio_track import AudioTrack
from jean.clips.clip import Clip
from jean.clips.writer import ClipWriter
from jean.media import read_audio
from tests.helpers.tiny_clip import make_clip

EMOTIONS = ("angry", "happy", "neutral", "sad")
EMOTION_WIDTH = 12


def make_track_clip(folder: Path, person: int, emotion: str, sentence: int, frames: int = 40, size: int = 0) -> Path:
    """Writes one clip whose mouth opens with a track of the sentence; its audio windows contain the same track.

    With ``size`` it has pictures (which do not show that).
    """
    clip = Clip.open(make_clip(folder, frames=frames, size=size or 8, seed=100 * person + sentence))
    background, pictures = clip.background, list(zip(np.array(clip.frames), np.array(clip.matte), strict=True))
    speech, strength = speech_track(sentence, frames), float(EMOTIONS.index(emotion))
    arrays = dict(clip.arrays)
    marks = arrays["landmarks"].copy()
    marks[:, 58:68, 1] += speech[:, None]  # lower lip
    marks[:, 17:27, 1] -= 0.5 * strength  # brows
    arrays["landmarks"] = marks
    arrays["expression"] = np.stack([speech, np.full(frames, strength), np.cos(speech)], -1).astype(np.float32)
    centred = np.pad(speech, 8, mode="edge")
    windows = np.zeros((frames, 16, 80), np.float32)
    for t in range(frames):
        windows[t, :, :8] = centred[t : t + 16, None]
        windows[t, :, 8 : 8 + 8] = np.square(centred[t : t + 16, None])
    mix = np.random.default_rng(7).standard_normal((2, EMOTION_WIDTH))
    features = np.tanh(np.stack([speech, np.full(frames, strength)], -1) @ mix).astype(np.float32)
    wave = read_audio(clip.sound())
    writer = ClipWriter(folder)
    writer.arrays(arrays)
    writer.sound(wave)
    writer.audio_features({"logmel": AudioTrack.of_windows(windows)})
    writer.emotion_features({"toy": features})
    if size:
        writer.background(background)
        with writer.pictures() as stream:
            for image, matte in pictures:
                stream.write(image, matte)
    names = ("frames", "size_px", "fps", "camera", "tracker", "expression", "audio", "matting")
    writer.finish(
        **{name: getattr(clip.meta, name) for name in names},
        pictures=bool(size),
        emotion={"toy": {"version": "1", "width": EMOTION_WIDTH, "network": True}},
    )
    return folder


def speech_track(sentence: int, frames: int) -> np.ndarray:
    """A smooth random curve, float64 [T] in [-1, 1], the same for all speakers of the sentence."""
    random = np.random.default_rng(sentence)
    times = np.arange(frames) / 25
    waves = [np.sin(2 * np.pi * random.uniform(1, 5) * times + random.uniform(0, 6)) for _ in range(4)]
    return np.clip(np.sum(waves, 0) / 2, -1, 1)


def make_corpus(
    folder: Path, people: int = 2, sentences: int = 2, emotions=("happy", "sad"), frames: int = 40, size: int = 0
) -> Path:
    """Writes a clip FOLDER/pN/EMOTION_SENTENCE for every combination."""
    for person in range(people):
        for emotion in emotions:
            for sentence in range(1, sentences + 1):
                make_track_clip(
                    folder / f"p{person}" / f"{emotion}_{sentence:03d}", person, emotion, sentence, frames, size
                )
    return folder
