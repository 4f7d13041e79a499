"""A preview of a prepared clip: a contact sheet and an overlay video of landmarks, mattes and poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.geometry import project
from jean.media import open_writer, read_wav, write_png
from jean.preparation.matte_quality import MatteQuality

HEAD_COLOUR = (255, 90, 90)
TORSO_COLOUR = (90, 140, 255)
AXIS_COLOURS = ((255, 60, 60), (60, 220, 60), (70, 110, 255))
FAULT_COLOUR = (255, 230, 0)
AXIS_CM = 7.0  # length of the drawn axes
TINT = 0.35  # opacity of the colours of head and torso
SHEET = (3, 4)  # rows, columns


def write_preview(clip_folder: str | Path) -> list[Path]:
    """Writes ``preview/sheet.png`` and ``preview/overlay.mp4`` into a clip folder.

    Landmarks are dots. Three axes start at the head's origin: x red, y green, z blue (towards the back of the head).
    Head and torso are tinted. Holes in the mattes are yellow; frames whose matte jumps have a yellow border.

    Returns:
        The paths of the two files.
    """
    clip = Clip.open(clip_folder)
    folder = clip.folder / "preview"
    folder.mkdir(exist_ok=True)
    rows, columns = SHEET
    sampled = np.linspace(0, clip.frame_count - 1, rows * columns).round().astype(int)
    sheet = np.concatenate(
        [
            np.concatenate([_with_holes(clip, t) for t in sampled[r * columns : (r + 1) * columns]], 1)
            for r in range(rows)
        ]
    )
    write_png(folder / "sheet.png", sheet)
    sound = read_wav(clip.audio_path) if clip.audio_path else None
    quality = MatteQuality()
    with open_writer(folder / "overlay.mp4", (clip.size_px, clip.size_px), clip.fps, sound) as writer:
        for index in range(clip.frame_count):
            faults = quality.add(np.asarray(clip.matte[index]), clip.arrays["landmarks"][index])
            writer.write(mark_faults(overlay(clip, index), *faults))
    return [folder / "sheet.png", writer.path]


def overlay(clip: Clip, index: int) -> np.ndarray:
    """One frame, uint8 [H, W, 3], with its tracks drawn into it."""
    import cv2

    alpha = np.asarray(clip.matte[index], np.float32)[..., None] / 255 * TINT
    image: np.ndarray = np.asarray(clip.frames[index], np.float32)
    for part, colour in enumerate((HEAD_COLOUR, TORSO_COLOUR)):
        image = image * (1 - alpha[:, :, part]) + np.array(colour, np.float32) * alpha[:, :, part]
    image = np.ascontiguousarray(image.round().astype(np.uint8))
    pose = clip.arrays["camera_to_world"][index]
    ends = project(np.concatenate([np.zeros((1, 3)), np.eye(3) * AXIS_CM]), clip.camera, pose)
    for end, colour in zip(ends[1:], AXIS_COLOURS, strict=True):
        cv2.line(image, _pixel(ends[0]), _pixel(end), colour, max(1, clip.size_px // 128), cv2.LINE_AA)
    if clip.arrays["valid"][index]:
        for point in clip.arrays["landmarks"][index]:
            cv2.circle(image, _pixel(point), max(1, clip.size_px // 200), (255, 255, 80), -1, cv2.LINE_AA)
    return image


def _with_holes(clip: Clip, index: int) -> np.ndarray:
    faults = MatteQuality().add(np.asarray(clip.matte[index]), clip.arrays["landmarks"][index])
    return mark_faults(overlay(clip, index), *faults)


def mark_faults(image: np.ndarray, open_pixels: np.ndarray, jumps: bool) -> np.ndarray:
    """Draws the faults of a matte into its overlay uint8 [H, W, 3]; they come from ``MatteQuality.add``."""
    import cv2

    mask = cv2.resize(open_pixels.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    image = np.where(mask[..., None], np.array(FAULT_COLOUR, np.uint8), image)
    if jumps:
        width = max(2, len(image) // 64)
        inner = image[width:-width, width:-width].copy()
        image[:] = FAULT_COLOUR
        image[width:-width, width:-width] = inner
    return image


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
