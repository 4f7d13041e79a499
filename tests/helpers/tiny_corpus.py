"""Prepared clips of several people, tracks and sound alone, made of formulas: milliseconds a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from jean.files import read_json, sha256, write_json
from tests.helpers.tiny_clip import make_clip

EMOTIONS = ("angry", "happy", "neutral", "sad")
EMOTION_WIDTH = 12


def make_track_clip(folder: Path, person: int, emotion: str, sentence: int, frames: int = 40, size: int = 0) -> Path:
    """One clip: the mouth opens with a track of the sentence, which the sound's windows hold too.

    With ``size`` it has pictures (which do not show that).
    """
    make_clip(folder, frames=frames, size=size or 8, seed=100 * person + sentence)
    for name in () if size else ("frames.u8", "matte.u8", "background.png"):
        (folder / name).unlink()
    speech, strength = speech_track(sentence, frames), float(EMOTIONS.index(emotion))
    arrays = load_file(folder / "arrays.safetensors")
    marks = arrays["landmarks"]
    marks[:, 58:68, 1] += speech[:, None]  # lower lip
    marks[:, 17:27, 1] -= 0.5 * strength  # brows
    arrays["expression"] = np.stack([speech, np.full(frames, strength), np.cos(speech)], -1).astype(np.float32)
    save_file(arrays, folder / "arrays.safetensors")
    windows = load_file(folder / "audio_features.safetensors")
    centred = np.pad(speech, 8, mode="edge")
    windows["logmel"] = np.zeros((frames, 16, 80), np.float32)
    for t in range(frames):
        windows["logmel"][t, :, :8] = centred[t : t + 16, None]
        windows["logmel"][t, :, 8 : 8 + 8] = np.square(centred[t : t + 16, None])
    save_file(windows, folder / "audio_features.safetensors")
    mix = np.random.default_rng(7).standard_normal((2, EMOTION_WIDTH))
    features = np.tanh(np.stack([speech, np.full(frames, strength)], -1) @ mix).astype(np.float32)
    save_file({"toy": features}, folder / "emotion_features.safetensors")
    meta = read_json(folder / "clip.json")
    meta["pictures"] = bool(size)
    meta["emotion"] = {"toy": {"version": "1", "width": EMOTION_WIDTH, "network": True}}
    names = ("arrays.safetensors", "audio_features.safetensors", "emotion_features.safetensors")
    meta["files"] = {name: {"sha256": sha256(folder / name)} for name in names}
    write_json(folder / "clip.json", meta)
    return folder


def speech_track(sentence: int, frames: int) -> np.ndarray:
    """float64 [T], -1 to 1: a smooth random curve, the same for everybody who says the sentence."""
    random = np.random.default_rng(sentence)
    times = np.arange(frames) / 25
    waves = [np.sin(2 * np.pi * random.uniform(1, 5) * times + random.uniform(0, 6)) for _ in range(4)]
    return np.clip(np.sum(waves, 0) / 2, -1, 1)


def make_corpus(
    folder: Path, people: int = 2, sentences: int = 2, emotions=("happy", "sad"), frames: int = 40, size: int = 0
) -> Path:
    """FOLDER/pN/EMOTION_SENTENCE for every combination."""
    for person in range(people):
        for emotion in emotions:
            for sentence in range(1, sentences + 1):
                make_track_clip(
                    folder / f"p{person}" / f"{emotion}_{sentence:03d}", person, emotion, sentence, frames, size
                )
    return folder
