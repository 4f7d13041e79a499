"""Foreground models of a block of frames: colours, background plate, still background, expected shape.

They are learned from key frames together. Still areas and a joint GrabCut (Rother et al. 2004) give the first labels;
then the models classify the key frames, and are fitted again to the result, in turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.features.matting.colour import UNIFORM, Plate, colour_density, estimate_plate, look_up
from jean.features.matting.common import shrink
from jean.features.matting.edges import ColourGuide
from jean.features.matting.motion import motion_log_odds
from jean.features.matting.refine import close_pockets, remove_specks
from jean.features.matting.shape import certain_background, certain_foreground, prior_odds, upper_head
from jean.features.matting.split import HairModel, fit_hair
from jean.features.matting.still import always_covered, still_background

KEY_FRAMES = 24  # frames of a block to which the models are fitted
MOSAIC_FRAMES, MOSAIC_SIDE_PX, MOSAIC_ROUNDS = 8, 128, 3  # of the joint GrabCut
ROUNDS = 2  # of classifying the key frames and fitting the models again
MAX_KEY_FRAMES = 24  # key frames of earlier blocks that are kept
MAX_COLOUR_ODDS = 6.0  # limit of the log odds by colour, because colour models are never certain
CERTAIN_ODDS = 8.0  # log odds where the landmarks are certain
COLOUR_WEIGHT, SHAPE_WEIGHT = 0.6, 0.7
STILL_ODDS = 4.0  # log odds against areas that are still throughout the block
COVERED_ODDS = 3.0  # log odds for areas that are too far from still background to be ever uncovered
MIN_STILL_FRACTION = 0.08  # a still background of at least this fraction of the frame represents all background
NOTCH_PX = 9  # half width of notches in the outline that are closed, at 256 px
GUIDE_PX, GUIDE_SMOOTHNESS = 4, 4e-4  # of the guided filter, at 256 px

# Key frames of earlier blocks: (RGB uint8 [h, w, 3], opacity float16 [h, w], landmarks [68, 2] px).
KeyFrames = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Models:
    """Foreground models of a block of frames.

    Attributes:
        inside: colour density of the foreground.
        outside: colour density of the background.
        plate: background plate.
        still: bool [h, w], background in all frames of the block.
        covered: bool [h, w], background in none of the frames.
        hair: colour densities of hair and torso.
    """

    inside: np.ndarray
    outside: np.ndarray
    plate: Plate
    still: np.ndarray
    covered: np.ndarray
    hair: HairModel

    def frame_odds(
        self, rgb: np.ndarray, landmarks: np.ndarray, motion_odds: np.ndarray, landmark_confidence: float
    ) -> np.ndarray:
        """Log odds of foreground for one frame, float32 [h, w].

        Args:
            rgb: uint8 [h, w, 3].
            landmarks: [68, 2] px.
            motion_odds: float32 [h, w], log odds by motion.
            landmark_confidence: weight of the landmarks, 0 to 1.
        """
        odds = np.log((look_up(self.inside, rgb) + 1e-12) / (self.plate.density(rgb, self.outside) + 1e-12))
        odds = np.clip(COLOUR_WEIGHT * odds, -MAX_COLOUR_ODDS, MAX_COLOUR_ODDS) + motion_odds
        odds += SHAPE_WEIGHT * landmark_confidence * shape_odds(landmarks, rgb.shape[0], self.covered)
        odds += landmark_confidence * 2 * CERTAIN_ODDS * certain_foreground(landmarks, rgb.shape[0])
        odds += COVERED_ODDS * self.covered - STILL_ODDS * self.still
        return np.clip(odds, -CERTAIN_ODDS, CERTAIN_ODDS).astype(np.float32)


def shape_odds(landmarks: np.ndarray, size: int, covered: np.ndarray) -> np.ndarray:
    """Log odds of foreground by position, float [size, size]; covered areas may be hair at any distance."""
    odds = np.where(certain_background(landmarks, size), -CERTAIN_ODDS, prior_odds(landmarks, size))
    return np.where(covered, np.maximum(odds, -1.0), odds)


def frame_guide(rgb: np.ndarray) -> ColourGuide:
    """The guided filter that aligns maps with the edges of a frame uint8 [h, w, 3]."""
    return ColourGuide(rgb, max(2, round(GUIDE_PX * rgb.shape[0] / 256)), GUIDE_SMOOTHNESS)


def frame_mask(
    guide: ColourGuide, odds: np.ndarray, inside: np.ndarray, expected: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Foreground mask from log odds, aligned with the edges of the frame, without holes and islands.

    Args:
        guide: guided filter of the frame.
        odds: float32 [h, w].
        inside: bool [h, w], certain foreground.
        expected: bool [h, w], where notches in the outline are closed.
        observed: bool [h, w], where the background is observed, so that gaps may be real.

    Returns:
        bool [h, w].
    """
    import cv2

    mask = remove_specks(guide.filter(1 / (1 + np.exp(-odds))) > 0.5, inside)
    # A hair parting with the colour of the wall would be a notch in the outline of the head.
    notch = max(1, round(NOTCH_PX * len(mask) / 256))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * notch + 1, 2 * notch + 1))
    border = (notch + 1,) * 4
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), *border, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[notch + 1 : -notch - 1, notch + 1 : -notch - 1]
    return close_pockets(mask | ((closed > 0) & expected), observed)


def fit_models(frames: np.ndarray, landmarks: np.ndarray, valid: np.ndarray, key_frames: KeyFrames) -> Models:
    """Fits the foreground models of a block of frames.

    Args:
        frames: uint8 [N, h, w, 3], the whole block.
        landmarks: [N, 68, 2] px, finite.
        valid: bool [N], False where landmarks are interpolated; at least one is True.
        key_frames: key frames of earlier blocks; those of this block are appended.
    """
    tracked = np.flatnonzero(valid)
    keys = tracked[evenly_spaced(len(tracked), KEY_FRAMES)]
    motion_odds = motion_log_odds(frames, landmarks, keys)
    frames, landmarks = frames[keys], landmarks[keys]
    size = frames.shape[1]
    # Earlier key frames are included, so that a head that rests during this block does not count as still background.
    past = [rgb for rgb, _, _ in key_frames]
    all_landmarks = np.stack([*(points for _, _, points in key_frames), *landmarks])
    still = still_background(np.stack([*past, *frames]), all_landmarks)
    covered = still.mean() > MIN_STILL_FRACTION and always_covered(still, all_landmarks)
    areas = still, np.broadcast_to(covered, still.shape)
    guides = [frame_guide(rgb) for rgb in frames]
    insides = [certain_foreground(points, size) for points in landmarks]
    heads = [upper_head(points, size) for points in landmarks]
    mosaic = evenly_spaced(len(frames), MOSAIC_FRAMES)
    labels = _joint_grabcut(frames[mosaic], landmarks[mosaic], motion_odds[mosaic], areas)
    # GrabCut may cut holes into dark hair before a dark wall; the expected shape keeps them out of the plate.
    expected = np.stack([prior_odds(points, size) > 1.0 for points in landmarks[mosaic]])
    labels = (labels > 0.5) | areas[1] | expected & ~still & (motion_odds[mosaic] > -2)
    alphas = np.stack([close_pockets(label, still) for label in labels]).astype(np.float32)
    models = _fit(frames[mosaic], alphas, landmarks[mosaic], areas, key_frames)
    for _ in range(ROUNDS):
        odds = [models.frame_odds(*each, 1.0) for each in zip(frames, landmarks, motion_odds, strict=True)]
        masks = [frame_mask(*each, still) for each in zip(guides, odds, insides, heads, strict=True)]
        alphas = np.stack(masks).astype(np.float32)
        models = _fit(frames, alphas, landmarks, areas, key_frames)
    _add_key_frames(key_frames, frames, alphas, landmarks)
    return models


def _fit(
    frames: np.ndarray,
    alphas: np.ndarray,
    landmarks: np.ndarray,
    areas: tuple[np.ndarray, np.ndarray],
    key_frames: KeyFrames,
) -> Models:
    """Fits all models to labelled key frames; ``areas`` are the still and the covered area."""
    hair = fit_hair(frames, alphas, landmarks)
    if key_frames:
        frames = np.concatenate([frames, np.stack([rgb for rgb, _, _ in key_frames])])
        alphas = np.concatenate([alphas, np.stack([alpha for _, alpha, _ in key_frames]).astype(np.float32)])
    colours, weights = frames.reshape(-1, 3), alphas.reshape(-1)
    inside, outside = colour_density(colours, weights), colour_density(colours, 1 - weights)
    return Models(inside, outside, estimate_plate(frames, alphas), *areas, hair)


def _joint_grabcut(
    frames: np.ndarray, landmarks: np.ndarray, motion_odds: np.ndarray, areas: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Segments key frames in one GrabCut, so that they share colour models; float32 [K, h, w], 1 for foreground."""
    import cv2

    size = frames.shape[1]
    side = min(MOSAIC_SIDE_PX, size)
    still, covered = (
        cv2.resize(area.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0 for area in areas
    )
    small = np.stack([shrink(rgb, side) for rgb in frames])
    shapes = np.stack([shape_odds(points, side, covered) for points in landmarks * (side / size)])
    # The colour of long hair also occurs within the outline of the head; the colour of the wall beside it does not.
    inside = shapes > 2
    behind = np.broadcast_to(still, inside.shape) if still.mean() > MIN_STILL_FRACTION else shapes < -2
    ratio = look_up(colour_density(small[inside], np.ones(inside.sum())), small) + UNIFORM
    background = look_up(colour_density(small[behind], np.ones(behind.sum())), small)
    ratio /= background + UNIFORM
    likely = shapes + COLOUR_WEIGHT * np.clip(np.log(ratio), -4, 4)
    seeds = []
    for points, shape, odds in zip(landmarks * (side / size), likely, motion_odds, strict=True):
        shape = shape + cv2.resize(odds, (side, side), interpolation=cv2.INTER_AREA)
        seed = np.where(shape > -0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        seed[still] = cv2.GC_BGD
        seed[certain_foreground(points, side)] = cv2.GC_FGD
        seeds.append(seed.astype(np.uint8))
    # The frames are stacked without gaps, because a gap would add its own colour to the models.
    mosaic = np.concatenate(small)
    mask = np.concatenate(seeds)
    if not np.isin(mask, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
        return np.ones(frames.shape[:3], np.float32)
    # GrabCut uses OpenCV's global random generator; without a seed, a second run in one process differs.
    cv2.setRNGSeed(1)
    bgr = np.ascontiguousarray(mosaic[..., ::-1])
    unused = (0, 0, 0, 0)  # rectangle, not used with a mask
    models = np.zeros((1, 65)), np.zeros((1, 65))
    mask = np.asarray(cv2.grabCut(bgr, mask, unused, *models, MOSAIC_ROUNDS, cv2.GC_INIT_WITH_MASK)[0])
    labels = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).reshape(-1, side, side)
    # Colours that never occur in the background, near the expected person, are foreground: a collar, a white shirt.
    foreign = (background < UNIFORM) & ~still
    foreign &= np.stack([prior_odds(points, side) for points in landmarks * (side / size)]) > -1
    foreground = (labels | foreign).astype(np.float32)
    return np.stack([cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST) for label in foreground])


def _add_key_frames(key_frames: KeyFrames, frames: np.ndarray, alphas: np.ndarray, landmarks: np.ndarray) -> None:
    """Appends every third key frame; beyond ``MAX_KEY_FRAMES``, drops every second one, to cover the whole past."""
    for rgb, alpha, points in list(zip(frames, alphas, landmarks, strict=True))[::3]:
        key_frames.append((rgb.copy(), alpha.astype(np.float16), points))
    while len(key_frames) > MAX_KEY_FRAMES:
        del key_frames[::2]


def evenly_spaced(count: int, samples: int) -> np.ndarray:
    """Up to ``samples`` evenly spaced indices below ``count``."""
    return np.unique(np.linspace(0, count - 1, samples).round().astype(int))
