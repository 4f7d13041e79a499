"""Writes a corpus of the synthetic speaker as clip folders from ground truth, without tracking, fitting or matting.

A clip without pictures takes about a second instead of minutes. It holds what the stages before ``train-nerf`` read:
landmarks, poses, expression, sound and audio features. So these stages can be tested on several people and many
sentences. A clip with pictures has exact mattes and the true background, and ``train-nerf`` can use it too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.clips.meta import EmotionSpec, ExpressionSpec, ExtractorSpec, SyntheticSource
from jean.clips.writer import ClipWriter, audio_spec
from jean.drivers.audio_windows import extract_track
from jean.errors import ArtefactError, InputError
from jean.features import registry
from jean.synthetic_speaker.hard_motion import harden, tracker_noise
from jean.synthetic_speaker.performance import Performance, draw_performance, ground_truth, perform
from jean.synthetic_speaker.speaker import Speaker, build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speaker_motion import EMOTIONS
from jean.synthetic_speaker.video_corpus import LEVELS, CorpusItem

SIZE_PX = 256  # frame size in whose pixels the tracks of a clip without pictures are given
TRUTH = ExtractorSpec(name="truth", version="1")  # stands for the tracker and the matting method

# Emotion features of a clip from its true expression [T, E] and a random generator: (specification, values [T, D])
# by name.
EmotionOf = Callable[[np.ndarray, np.random.Generator], dict[str, tuple[EmotionSpec, np.ndarray]]]


def performance_of(item: CorpusItem) -> Performance:
    """The performance of one clip of ``plan_corpus``, as ``write_video_corpus`` draws it."""
    strength = 1.0 if item.emotion == "neutral" else LEVELS[item.level]
    seed = 1000 * EMOTIONS.index(item.emotion) + item.sentence
    sentences = item.text.split(". ")
    identity = sample_identity(item.identity_seed)
    performance = perform(identity, item.emotion, strength, sentences, None, 25.0, seed, item.cohesion)
    return harden(performance) if item.hard else performance


def write_track_clip(
    folder: Path,
    item: CorpusItem,
    speaker: Speaker,
    audio: str | None = "logmel",
    emotion_of: EmotionOf | None = None,
    picture_px: int | None = None,
) -> Path:
    """Writes one clip of ``jean.synthetic_speaker.video_corpus.plan_corpus`` from ground truth.

    A finished clip of the same item and size is kept.

    Args:
        folder: the clip folder.
        item: person, emotion and sentence.
        speaker: the built speaker of the item.
        audio: name of the audio features; None: the clip has sound alone.
        emotion_of: computes emotion features; None: the clip has none.
        picture_px: side of the frames; None: no pictures, and tracks in pixels of a frame of ``SIZE_PX``.

    Returns:
        The clip folder.
    """
    if _is_finished(folder, item, picture_px):
        return folder
    performance, size = performance_of(item), picture_px or SIZE_PX
    truth, facts = ground_truth(speaker.rig, performance, size)
    count = performance.frame_count
    if item.hard:
        random = np.random.default_rng([0x7A9, item.identity_seed, performance.seed])
        truth["landmarks"] = tracker_noise(truth["landmarks"], size, random)
    writer = ClipWriter(folder)
    writer.arrays(
        {
            "times_s": truth["times_s"],
            "valid": np.ones(count, bool),
            "landmarks": truth["landmarks"],
            "irises": truth["irises"].astype(np.float32),
            "camera_to_world": truth["camera_to_world"],
            "tracker_camera_to_world": truth["camera_to_world"],
            "shape": truth["shape"],
            "expression": truth["expression"],
        }
    )
    writer.sound(performance.wave)
    specs = None
    if audio is not None:
        extractor = registry.create("audio", audio)
        wave = performance.wave.astype(np.float32)
        writer.audio_features({audio: extract_track(extractor, wave, count, performance.fps)})
        specs = {audio: audio_spec(extractor)}
    if picture_px is not None:
        _write_pictures(writer, performance, speaker, picture_px)
    emotion = None
    if emotion_of is not None:
        random = np.random.default_rng([0xE3, item.identity_seed, performance.seed])
        features = emotion_of(truth["expression"], random)
        writer.emotion_features({name: values for name, (_, values) in features.items()})
        emotion = {name: spec for name, (spec, _) in features.items()}
    writer.finish(
        pictures=picture_px is not None,
        frames=count,
        size_px=size,
        fps=float(performance.fps),
        camera=facts["camera"],
        tracker=TRUTH,
        expression=ExpressionSpec(name="truth", version="1", **facts["expression"]),
        audio=specs,
        emotion=emotion,
        matting=TRUTH if picture_px else None,
        valid=count,
        synthetic=_source(item),
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
    """Writes every item of ``plan_corpus`` as FOLDER/PERSON/EMOTION_SENTENCE; finished clips are kept.

    Args:
        folder: of the corpus.
        items: what to write, people one after the other.
        audio, emotion_of, picture_px: see ``write_track_clip``.
        progress: called with (clips done, clips in all).

    Returns:
        The clip folders.
    """
    speaker, folders = None, []
    for done, item in enumerate(items):
        if speaker is None or speaker.identity.seed != item.identity_seed:
            speaker = build_speaker(sample_identity(item.identity_seed))
        target = folder / item.person / f"{item.emotion}_{item.sentence:03d}"
        folders.append(write_track_clip(target, item, speaker, audio, emotion_of, picture_px))
        if progress:
            progress(done + 1, len(items))
    return folders


def _source(item: CorpusItem) -> SyntheticSource:
    names = ("identity_seed", "emotion", "level", "sentence", "text", "hard")
    source = SyntheticSource(**{name: getattr(item, name) for name in names})
    return source.model_copy(update={"cohesion": item.cohesion}) if item.cohesion else source


def _is_finished(folder: Path, item: CorpusItem, picture_px: int | None) -> bool:
    try:
        clip = Clip.open(folder, pictures=picture_px is not None)
    except (InputError, ArtefactError):
        return False
    return clip.meta.synthetic == _source(item) and clip.size_px == (picture_px or SIZE_PX)


def _write_pictures(writer: ClipWriter, performance: Performance, speaker: Speaker, size: int) -> None:
    """Writes frames, true mattes and the background."""
    import cv2

    from jean.synthetic_speaker.draw import SUPERSAMPLING
    from jean.synthetic_speaker.textures import background_image

    background = background_image(performance.identity, performance.seed, size * SUPERSAMPLING)
    with writer.pictures() as stream:
        for drawn in draw_performance(speaker, performance, size, background):
            stream.write(drawn.image, drawn.matte)
    # Reduced in linear light, as ``draw_frame`` does.
    linear = cv2.resize(np.square(background / np.float32(255)), (size, size), interpolation=cv2.INTER_AREA)
    writer.background((np.sqrt(linear) * 255 + 0.5).astype(np.uint8))
