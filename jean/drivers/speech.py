"""Speech input: audio windows of clips for training, and of any sound file for rendering."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.audio_track import AudioTrack
from jean.clips.clip import Clip
from jean.drivers.audio_windows import extract_windows
from jean.drivers.voice import VoiceDetector
from jean.errors import InputError
from jean.features import registry
from jean.features.base import AudioFeatures
from jean.media import RATE_HZ, count_frames, read_audio

FADE_S = 0.12  # duration in which the mouth closes or opens; lips move before the first sound
SHORTEST_PAUSE_S = 0.25  # shorter pauses are the closures of p, t and k


@dataclass(frozen=True)
class SpeechInput:
    """Speech input of a head.

    Attributes:
        name: name of the audio features.
        description: version, width, window and rate of the features, as stored in clips and runs.
        silent: whether the head ignores the sound (NeRFace): its windows are zeros.
    """

    name: str
    description: dict[str, Any]
    silent: bool = False

    @property
    def kind(self) -> str:
        """Name in configurations and run folders: "sound" or "none"."""
        return "none" if self.silent else "sound"

    def track(self, clip: Clip) -> AudioTrack:
        """Audio features of a prepared clip."""
        track = clip.audio_track(self.name)
        return AudioTrack.silent(*track.shape) if self.silent else track

    def windows(self, clip: Clip) -> np.ndarray:
        """Audio windows of a prepared clip, float32 [T, window, D]."""
        return self.track(clip).windows()

    def windows_of_file(self, path: Path, fps: float, gate: VoiceDetector | None = None) -> np.ndarray:
        """Audio windows of a sound file, float32 [T, window, D] with T = ⌈duration · fps⌉.

        Args:
            path: any file with sound.
            fps: frames per second of the result.
            gate: replace the windows by those of silence where it hears nobody speak; None: never.

        Raises:
            InputError: the file holds no sound.
            ArtefactError: the installed extractor is another version than the run was trained with.
        """
        extractor = registry.create_version("audio", self.name, str(self.description["version"]), "run")
        wave = read_audio(path)
        windows = extract_windows(extractor, wave, count_frames(len(wave) / RATE_HZ, fps), fps)
        if not len(windows):
            raise InputError(f"{path} holds no sound.", "Choose another --audio.")
        if gate is not None:
            windows = silence_gate(windows, wave, extractor, fps, gate)
        return np.zeros_like(windows) if self.silent else windows


def silence_gate(
    windows: np.ndarray, wave: np.ndarray, extractor: AudioFeatures, fps: float, detector: VoiceDetector
) -> np.ndarray:
    """Audio windows [T, window, D] that fade to those of silence where nobody speaks.

    Args:
        windows: windows of ``wave``, computed by ``extractor``.
        wave: mono, 16 kHz, [S] in [-1, 1].
        extractor: the audio features.
        fps: frames per second.
        detector: decides where somebody speaks.
    """
    gate = speech_gate(detector.speaks(wave, len(windows), fps), fps)[:, None, None]
    silence = extract_windows(extractor, np.zeros(RATE_HZ, np.float32), 25, 25.0)[12]
    return (gate * windows + (1 - gate) * silence).astype(np.float32)


def speech_gate(voice: np.ndarray, fps: float) -> np.ndarray:
    """Weight of the speech per frame, float64 [T] in [0, 1].

    It is 1 where somebody speaks, 0 in pauses of at least ``SHORTEST_PAUSE_S``, with ramps of ``FADE_S`` between them.

    Args:
        voice: bool [T], whether somebody speaks.
        fps: frames per second.
    """
    from scipy.ndimage import distance_transform_edt

    gate = np.asarray(voice, float).copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[1], gate, [1]])))
    for first, end in zip(edges[::2], edges[1::2], strict=True):  # runs of silence
        inner = first > 0 and end < len(gate)
        if inner and end - first < SHORTEST_PAUSE_S * fps:
            gate[first:end] = 1
    reach = max(1, round(FADE_S * fps))
    if not gate.any():
        return np.zeros(len(gate))
    distance = distance_transform_edt(gate == 0)  # frames to the nearest speech
    return np.clip(1 - distance / (reach + 1), 0, 1)
