"""A corpus as clip folders, written from the truth itself: nothing is tracked, fitted or matted.

Without pictures it is what the stages before the NeRF read (landmarks, poses, expression, sound, audio features),
in a second a clip instead of minutes, so that they can be proved on several people and many sentences. With pictures
(exact mattes, the clean background) a head can be trained on it too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import FORMAT, Clip
from jean.drivers.audio_windows import extract_windows
from jean.errors import ArtefactError, InputError
from jean.features import registry
from jean.files import sha256, write_json
from jean.synthetic_speaker.performance import Performance, draw_performance, ground_truth, perform
from jean.synthetic_speaker.speaker import Speaker, build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speaker_motion import EMOTIONS
from jean.synthetic_speaker.speech_synthesis import RATE_HZ
from jean.synthetic_speaker.video_corpus import LEVELS, CorpusItem

SIZE_PX = 256
# name → (description, features [T, D] of a clip's true expression [T, E] and its own random generator)
EmotionOf = Callable[[np.ndarray, np.random.Generator], dict[str, tuple[dict[str, Any], np.ndarray]]]


def performance_of(item: CorpusItem) -> Performance:
    """The performance of one clip of ``plan_corpus``, as ``write_video_corpus`` draws it."""
    strength = 1.0 if item.emotion == "neutral" else LEVELS[item.level]
    seed = 1000 * EMOTIONS.index(item.emotion) + item.sentence
    return perform(sample_identity(item.identity_seed), item.emotion, strength, [item.text], None, 25.0, seed)


def write_track_clip(
    folder: Path,
    item: CorpusItem,
    speaker: Speaker,
    audio: str = "logmel",
    emotion_of: EmotionOf | None = None,
    picture_px: int | None = None,
) -> Path:
    """Writes one clip of ``jean.synthetic_speaker.video_corpus.plan_corpus`` from its truth; a whole one is kept.

    Args:
        folder: the clip folder.
        item: who, how and what.
        speaker: the built speaker of the item.
        audio: name of the audio features.
        emotion_of: gives emotion features of the true tracks.
        picture_px: side of the pictures; None: none are drawn, and tracks are in pixels of ``SIZE_PX``.
    """
    from safetensors.numpy import save_file

    from jean.media import write_wav

    if _is_whole(folder, item, picture_px):
        return folder
    performance, size = performance_of(item), picture_px or SIZE_PX
    truth, meta = ground_truth(speaker.rig, performance, size)
    count = performance.frame_count
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clip.json").unlink(missing_ok=True)
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
    if picture_px is not None:
        files += _draw(folder, performance, speaker, picture_px)
    emotion = None
    if emotion_of is not None:
        made = emotion_of(truth["expression"], np.random.default_rng([0xE3, item.identity_seed, performance.seed]))
        save_file({name: values for name, (_, values) in made.items()}, folder / "emotion_features.safetensors")
        files.append("emotion_features.safetensors")
        emotion = {name: description for name, (description, _) in made.items()}
    described = {name: getattr(extractor, name) for name in ("version", "width", "window", "rate_hz")}
    write_json(
        folder / "clip.json",
        {
            "kind": "clip",
            "format": FORMAT,
            "pictures": picture_px is not None,
            "frames": count,
            "size_px": size,
            "fps": performance.fps,
            "camera": meta["camera"],
            "tracker": {"name": "truth", "version": "1"},
            "expression": {"name": "truth", "version": "1", **meta["expression"]},
            "audio": {audio: described},
            "emotion": emotion,
            "matting": {"name": "truth", "version": "1"} if picture_px else None,
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
    picture_px: int | None = None,
) -> list[Path]:
    """Writes every item of ``plan_corpus`` as FOLDER/PERSON/EMOTION_SENTENCE; whole ones are kept."""
    speaker, written = None, []
    for done, item in enumerate(items):
        if speaker is None or speaker.identity.seed != item.identity_seed:
            speaker = build_speaker(sample_identity(item.identity_seed))
        target = folder / item.person / f"{item.emotion}_{item.sentence:03d}"
        written.append(write_track_clip(target, item, speaker, audio, emotion_of, picture_px))
        if progress:
            progress(done + 1, len(items))
    return written


def _key(item: CorpusItem) -> dict[str, Any]:
    return {name: getattr(item, name) for name in ("identity_seed", "emotion", "level", "sentence", "text")}


def _is_whole(folder: Path, item: CorpusItem, picture_px: int | None) -> bool:
    try:
        clip = Clip.open(folder, pictures=picture_px is not None)
    except (InputError, ArtefactError):
        return False
    return clip.meta.get("synthetic") == _key(item) and clip.size_px == (picture_px or SIZE_PX)


def _draw(folder: Path, performance: Performance, speaker: Speaker, size: int) -> list[str]:
    """Frames, true mattes and the background behind them; the names of the files."""
    import cv2

    from jean.synthetic_speaker.draw import SUPERSAMPLING
    from jean.synthetic_speaker.textures import background_image

    behind = background_image(performance.identity, performance.seed, size * SUPERSAMPLING)
    with open(folder / "frames.u8", "wb") as frames, open(folder / "matte.u8", "wb") as mattes:
        for drawn in draw_performance(speaker, performance, size, behind):
            frames.write(drawn.image.tobytes())
            mattes.write(drawn.matte.tobytes())
    # made smaller as ``draw_frame`` does it, in linear light
    linear = cv2.resize(np.square(behind / np.float32(255)), (size, size), interpolation=cv2.INTER_AREA)
    plate = (np.sqrt(linear) * 255 + 0.5).astype(np.uint8)
    if not cv2.imwrite(str(folder / "background.png"), plate[..., ::-1]):
        raise OSError(f"cannot write {folder / 'background.png'}")
    return ["frames.u8", "matte.u8", "background.png"]
