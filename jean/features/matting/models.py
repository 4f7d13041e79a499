"""What a block of frames is judged by: colours of the foreground, what lies behind it, what stands still.

Learned from key frames together: still areas and a joint GrabCut (Rother et al. 2004) give first labels;
then frames are judged by the models and the models learned from the result, in turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.features.matting.colour import UNIFORM, Plate, colour_density, estimate_plate, look_up
from jean.features.matting.common import shrink
from jean.features.matting.edges import ColourGuide
from jean.features.matting.motion import parting_odds
from jean.features.matting.refine import clean, close_pockets
from jean.features.matting.shape import crown, expectation, surely_inside, surely_outside
from jean.features.matting.split import HairModel, learn_hair
from jean.features.matting.still import never_uncovered, still_background

KEY_FRAMES = 24  # a block's frames from which the models are learned
MOSAIC_FRAMES, MOSAIC_SIDE_PX, MOSAIC_ROUNDS = 8, 128, 3
ROUNDS = 2  # of judging the key frames by the models and learning the models anew
REMEMBERED = 24  # key frames of earlier blocks that are kept
LIMIT = 6.0  # largest log odds that colour may claim: models are never surer than that
SURE = 8.0  # log odds of what the landmarks make certain
COLOUR_WEIGHT, SHAPE_WEIGHT = 0.6, 0.7
STILL_ODDS = 4.0  # log odds against what stood still throughout the block
COVERED_ODDS = 3.0  # log odds for what is too far from that to be ever uncovered
STILL_SHARE = 0.08  # with this share of the frame known as still background, it stands for all of it
NOTCH_PX = 9  # half width of notches in the outline that are closed, at 256 px
GUIDE_PX, GUIDE_SMOOTHNESS = 4, 4e-4  # of the guided filter, at 256 px

# Key frames of earlier blocks: colours, opacities, landmarks.
Memory = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Models:
    """Attributes:
    inside, outside: densities of colours of foreground and background.
    plate: what lies behind the person.
    still: bool [h, w], background in all of the block's frames.
    covered: bool [h, w], background in none of them.
    hair: colours of hair and torso.
    """

    inside: np.ndarray
    outside: np.ndarray
    plate: Plate
    still: np.ndarray
    covered: np.ndarray
    hair: HairModel

    def frame_odds(self, rgb: np.ndarray, marks: np.ndarray, parting: np.ndarray, say: float) -> np.ndarray:
        """Log odds of foreground, float32 [h, w].

        Args:
            rgb: uint8 [h, w, 3].
            marks: [68, 2] px.
            parting: float32 [h, w], log odds by motion.
            say: how much the landmarks are to be believed, 0 to 1.
        """
        odds = np.log((look_up(self.inside, rgb) + 1e-12) / (self.plate.density(rgb, self.outside) + 1e-12))
        odds = np.clip(COLOUR_WEIGHT * odds, -LIMIT, LIMIT) + parting
        odds += SHAPE_WEIGHT * say * expected_odds(marks, rgb.shape[0], self.covered)
        odds += say * 2 * SURE * surely_inside(marks, rgb.shape[0])
        odds += COVERED_ODDS * self.covered - STILL_ODDS * self.still
        return np.clip(odds, -SURE, SURE).astype(np.float32)


def expected_odds(marks: np.ndarray, size: int, covered: np.ndarray) -> np.ndarray:
    """Log odds by shape; what is never uncovered may be hair at any distance."""
    expected = np.where(surely_outside(marks, size), -SURE, expectation(marks, size))
    return np.where(covered, np.maximum(expected, -1.0), expected)


def frame_guide(rgb: np.ndarray) -> ColourGuide:
    """The guided filter by which a frame's maps are drawn to its edges."""
    return ColourGuide(rgb, max(2, round(GUIDE_PX * rgb.shape[0] / 256)), GUIDE_SMOOTHNESS)


def frame_mask(
    guide: ColourGuide, odds: np.ndarray, inside: np.ndarray, expected: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """bool [h, w] from log odds, drawn to the frame's edges, without holes and islands.

    Args:
        guide: of the frame.
        odds: float32 [h, w].
        inside: bool [h, w], surely foreground.
        expected: bool [h, w], where notches in the outline are closed.
        known: bool [h, w], where the background was seen, so that pockets may show it.
    """
    import cv2

    mask = clean(guide.filter(1 / (1 + np.exp(-odds))) > 0.5, inside)
    # A parting whose hair has the wall's colour is a notch in the crown, which heads do not have.
    notch = max(1, round(NOTCH_PX * len(mask) / 256))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * notch + 1, 2 * notch + 1))
    border = (notch + 1,) * 4
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), *border, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[notch + 1 : -notch - 1, notch + 1 : -notch - 1]
    return close_pockets(mask | ((closed > 0) & expected), known)


def learn(frames: np.ndarray, marks: np.ndarray, valid: np.ndarray, memory: Memory) -> Models:
    """Models of a block.

    Args:
        frames: uint8 [N, h, w, 3], the whole block.
        marks: [N, 68, 2] px, finite.
        valid: bool [N], where the landmarks were found rather than filled in; at least one.
        memory: of earlier blocks; this block's key frames are added.
    """
    found = np.flatnonzero(valid)
    keys = found[_evenly(len(found), KEY_FRAMES)]
    parting = parting_odds(frames, marks, keys)
    frames, marks = frames[keys], marks[keys]
    size = frames.shape[1]
    # With what was seen before, a head that rests through this block is not taken for its background.
    past = [rgb for rgb, _, _ in memory]
    seen_marks = np.stack([*(points for _, _, points in memory), *marks])
    still = still_background(np.stack([*past, *frames]), seen_marks)
    covered = still.mean() > STILL_SHARE and never_uncovered(still, seen_marks)
    areas = still, np.broadcast_to(covered, still.shape)
    guides = [frame_guide(rgb) for rgb in frames]
    insides = [surely_inside(points, size) for points in marks]
    crowns = [crown(points, size) for points in marks]
    chosen = _evenly(len(frames), MOSAIC_FRAMES)
    labels = _joint_grabcut(frames[chosen], marks[chosen], parting[chosen], areas)
    # GrabCut may cut holes into dark hair before a dark wall; the expected shape keeps them out of the plate.
    expected = np.stack([expectation(points, size) > 1.0 for points in marks[chosen]])
    labels = (labels > 0.5) | areas[1] | expected & ~still & (parting[chosen] > -2)
    alphas = np.stack([close_pockets(label, still) for label in labels]).astype(np.float32)
    models = _fit(frames[chosen], alphas, marks[chosen], areas, memory)
    for _ in range(ROUNDS):
        odds = [models.frame_odds(*each, 1.0) for each in zip(frames, marks, parting, strict=True)]
        masks = [frame_mask(*each, still) for each in zip(guides, odds, insides, crowns, strict=True)]
        alphas = np.stack(masks).astype(np.float32)
        models = _fit(frames, alphas, marks, areas, memory)
    _remember(memory, frames, alphas, marks)
    return models


def _fit(
    frames: np.ndarray, alphas: np.ndarray, marks: np.ndarray, areas: tuple[np.ndarray, np.ndarray], memory: Memory
) -> Models:
    hair = learn_hair(frames, alphas, marks)
    if memory:
        frames = np.concatenate([frames, np.stack([rgb for rgb, _, _ in memory])])
        alphas = np.concatenate([alphas, np.stack([alpha for _, alpha, _ in memory]).astype(np.float32)])
    colours, weights = frames.reshape(-1, 3), alphas.reshape(-1)
    inside, outside = colour_density(colours, weights), colour_density(colours, 1 - weights)
    return Models(inside, outside, estimate_plate(frames, alphas), *areas, hair)


def _joint_grabcut(
    frames: np.ndarray, marks: np.ndarray, parting: np.ndarray, areas: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Labels float32 [K, h, w] (1 foreground) of key frames cut together, so that they share their colours."""
    import cv2

    size = frames.shape[1]
    side = min(MOSAIC_SIDE_PX, size)
    known, covered = (
        cv2.resize(area.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0 for area in areas
    )
    small = np.stack([shrink(rgb, side) for rgb in frames])
    shapes = np.stack([expected_odds(points, side, covered) for points in marks * (side / size)])
    # Long hair shows its colour within the head's outline too; a wall beside it does not.
    nearly = shapes > 2
    behind = np.broadcast_to(known, nearly.shape) if known.mean() > STILL_SHARE else shapes < -2
    ratio = look_up(colour_density(small[nearly], np.ones(nearly.sum())), small) + UNIFORM
    background = look_up(colour_density(small[behind], np.ones(behind.sum())), small)
    ratio /= background + UNIFORM
    likely = shapes + COLOUR_WEIGHT * np.clip(np.log(ratio), -4, 4)
    seeds = []
    for points, shape, odds in zip(marks * (side / size), likely, parting, strict=True):
        shape = shape + cv2.resize(odds, (side, side), interpolation=cv2.INTER_AREA)
        seed = np.where(shape > -0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        seed[known] = cv2.GC_BGD
        seed[surely_inside(points, side)] = cv2.GC_FGD
        seeds.append(seed.astype(np.uint8))
    # The frames simply lie above one another; room between them would teach a colour that is not there.
    mosaic = np.concatenate(small)
    mask = np.concatenate(seeds)
    if not np.isin(mask, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
        return np.ones(frames.shape[:3], np.float32)
    # GrabCut draws from OpenCV's own generator; without this, a second run in one process differs.
    cv2.setRNGSeed(1)
    bgr = np.ascontiguousarray(mosaic[..., ::-1])
    unused = (0, 0, 0, 0)  # the rectangle, of which a mask has no need
    models = np.zeros((1, 65)), np.zeros((1, 65))
    mask = np.asarray(cv2.grabCut(bgr, mask, unused, *models, MOSAIC_ROUNDS, cv2.GC_INIT_WITH_MASK)[0])
    labels = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).reshape(-1, side, side)
    # A colour that the background never shows, about where the person is expected: a collar, a white shirt.
    strange = (background < UNIFORM) & ~known
    strange &= np.stack([expectation(points, side) for points in marks * (side / size)]) > -1
    found = (labels | strange).astype(np.float32)
    return np.stack([cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST) for label in found])


def _remember(memory: Memory, frames: np.ndarray, alphas: np.ndarray, marks: np.ndarray) -> None:
    """Keeps every third key frame; when full, every second of the kept, so that all of the past has a say."""
    for rgb, alpha, points in list(zip(frames, alphas, marks, strict=True))[::3]:
        memory.append((rgb.copy(), alpha.astype(np.float16), points))
    while len(memory) > REMEMBERED:
        del memory[::2]


def _evenly(count: int, wanted: int) -> np.ndarray:
    """Up to ``wanted`` indices spread evenly over ``count``."""
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(int))
