"""A corpus as clip folders without pictures: tracks and sound alone, a second a clip instead of minutes.

What the stages before the NeRF read is there (landmarks, poses, expression, sound, audio features), so they
can be tried and proved on several people and many sentences in little time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jean.data.audio_windows import extract_windows
from jean.data.clip import FORMAT, Clip
from jean.errors import ArtefactError, InputError
from jean.features import registry
from jean.files import sha256, write_json
from jean.synthetic.corpus import LEVELS, CorpusItem
from jean.synthetic.identity import identity
from jean.synthetic.performance import ground_truth, perform
from jean.synthetic.speaker import Speaker, build_speaker
from jean.synthetic.speech import RATE_HZ
from jean.synthetic.tracks import EMOTIONS

SIZE_PX = 256
# name → (description, features [T, D] of a clip's true expression [T, E] and its own random generator)
EmotionOf = Callable[[np.ndarray, np.random.Generator], dict[str, tuple[dict[str, Any], np.ndarray]]]


def write_track_clip(
    folder: Path, item: CorpusItem, speaker: Speaker, audio: str = "logmel", emotion_of: EmotionOf | None = None
) -> Path:
    """Writes one clip of ``jean.synthetic.corpus.plan_corpus`` without pictures; a whole one is kept.

    Args:
        folder: the clip folder.
        item: who, how and what.
        speaker: the built speaker of the item.
        audio: name of the audio features.
        emotion_of: gives emotion features of the true tracks.
    """
    from safetensors.numpy import save_file

    from jean.media import write_wav

    if _is_whole(folder, item):
        return folder
    strength = 1.0 if item.emotion == "neutral" else LEVELS[item.level]
    seed = 1000 * EMOTIONS.index(item.emotion) + item.sentence  # as write_corpus draws it
    performance = perform(identity(item.identity_seed), item.emotion, strength, [item.text], None, 25.0, seed)
    truth, meta = ground_truth(speaker.face, performance, SIZE_PX)
    count = performance.frame_count
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "times_s": truth["times_s"],
        "valid": np.ones(count, bool),
        "landmarks": truth["landmarks"],
        "irises": truth["irises"].astype(np.float32),
        "camera_to_world": truth["camera_to_world"],
        "tracker_camera_to_world": truth["camera_to_world"],
        "shape": truth["shape"],
        "expression": truth["expression"],
    }
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "arrays.safetensors")
    write_wav(folder / "audio.wav", performance.wave, RATE_HZ)
    extractor = registry.create("audio", audio)
    windows = extract_windows(extractor, performance.wave.astype(np.float32), count, performance.fps)
    save_file({audio: windows}, folder / "audio_features.safetensors")
    files = ["arrays.safetensors", "audio_features.safetensors", "audio.wav"]
    emotion = None
    if emotion_of is not None:
        made = emotion_of(truth["expression"], np.random.default_rng([0xE3, item.identity_seed, seed]))
        save_file({name: values for name, (_, values) in made.items()}, folder / "emotion_features.safetensors")
        files.append("emotion_features.safetensors")
        emotion = {name: description for name, (description, _) in made.items()}
    described = {name: getattr(extractor, name) for name in ("version", "width", "window", "rate_hz")}
    write_json(
        folder / "clip.json",
        {
            "kind": "clip",
            "format": FORMAT,
            "pictures": False,
            "frames": count,
            "size_px": SIZE_PX,
            "fps": performance.fps,
            "camera": meta["camera"],
            "tracker": {"name": "truth", "version": "1"},
            "expression": {"name": "truth", "version": "1", **meta["expression"]},
            "audio": {audio: described},
            "emotion": emotion,
            "synthetic": _key(item),
            "files": {name: {"sha256": sha256(folder / name)} for name in files},
        },
    )
    return folder


def write_track_corpus(
    folder: Path,
    items: list[CorpusItem],
    audio: str = "logmel",
    emotion_of: EmotionOf | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Writes every item of ``plan_corpus`` as FOLDER/PERSON/EMOTION_SENTENCE; whole ones are kept."""
    speaker, written = None, []
    for done, item in enumerate(items):
        if speaker is None or speaker.person.seed != item.identity_seed:
            speaker = build_speaker(identity(item.identity_seed))
        target = folder / item.person / f"{item.emotion}_{item.sentence:03d}"
        written.append(write_track_clip(target, item, speaker, audio, emotion_of))
        if progress:
            progress(done + 1, len(items))
    return written


def _key(item: CorpusItem) -> dict[str, Any]:
    return {name: getattr(item, name) for name in ("identity_seed", "emotion", "level", "sentence", "text")}


def _is_whole(folder: Path, item: CorpusItem) -> bool:
    try:
        return Clip.open(folder, pictures=False).meta.get("synthetic") == _key(item)
    except (InputError, ArtefactError):
        return False
