"""The background plate: the view of the camera without the person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAMPLES = 64  # evenly spaced frames that are read: enough for a median, and memory stays constant
UNCOVERED = 8  # opacity, of 255, below which a pixel shows the background
REACH = 0.012  # fraction of the frame's width by which mattes are grown: hair and shadow exceed them a little
STRIP = 64  # rows that are processed at once: 64 frames of a strip take a few MB at any frame size
BAND = 0.1  # fraction of the frame's width beside the person in which remains of the person are looked for
COLOUR_SAMPLES = 16  # evenly spaced frames that show the person's colours
COLOUR_BINS = 16  # per channel
OPAQUE = 250  # opacity, of 255, from which a pixel shows the person alone
UNSEEN = 1e-6  # frequency of a colour that never occurs
STRUCTURE = 0.06  # fraction of the frame's width up to which edges of the background continue
INPAINT_RADIUS_PX = 4
UNKNOWN_GREY = 127  # the whole plate if no pixel is ever uncovered


def background_plate(
    frames: Sequence[np.ndarray] | np.ndarray, mattes: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """uint8 [H, W, 3], RGB: the median of each pixel over the frames in which the person does not cover it.

    Pixels that are always covered are filled from their surroundings.

    Args:
        frames: uint8 [T, H, W, 3]; may be memory-mapped.
        mattes: uint8 [T, H, W, 2], head and torso.
    """
    plate, known = visible_background(frames, mattes)
    return continue_structure(plate, without_person(plate, known, frames, mattes))


def visible_background(
    frames: Sequence[np.ndarray] | np.ndarray, mattes: Sequence[np.ndarray] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The medians, uint8 [H, W, 3], and where they exist, bool [H, W]; arguments as ``background_plate``."""
    import cv2

    sampled = np.unique(np.linspace(0, len(frames) - 1, min(SAMPLES, len(frames))).round().astype(int))
    height, width = frames[0].shape[:2]
    kernel = np.ones((2 * max(1, round(width * REACH)) + 1,) * 2, np.uint8)
    covered = np.stack(
        [
            cv2.dilate((np.asarray(mattes[t]).sum(-1, dtype=np.uint16) > UNCOVERED).astype(np.uint8), kernel)
            for t in sampled
        ]
    ).astype(bool)
    known = np.asarray((~covered).any(0))
    plate = np.zeros((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        stack = np.ma.array(
            np.stack([np.asarray(frames[t][rows]) for t in sampled]), mask=np.repeat(covered[:, rows, :, None], 3, -1)
        )
        plate[rows] = np.ma.median(stack, axis=0).filled(0).round().astype(np.uint8)
    return plate, known


def without_person(
    plate: np.ndarray,
    known: np.ndarray,
    frames: Sequence[np.ndarray] | np.ndarray,
    mattes: Sequence[np.ndarray] | np.ndarray,
) -> np.ndarray:
    """Which pixels of a plate show the background, bool [H, W]: those known, without remains of the person.

    Mattes miss strands and edges of hair, which stand still in the plate while the head moves. Beside the person,
    pixels whose colour is more frequent in the person than in the distant background count as unknown.

    Args:
        plate: uint8 [H, W, 3].
        known: bool [H, W].
        frames, mattes: as ``background_plate``.
    """
    import cv2

    sampled = np.unique(np.linspace(0, len(frames) - 1, min(COLOUR_SAMPLES, len(frames))).round().astype(int))
    near = _dilated(~known, BAND)
    opaque = [np.asarray(mattes[t]).sum(-1, dtype=np.uint16) >= OPAQUE for t in sampled]
    person = np.concatenate([np.asarray(frames[t])[shown] for t, shown in zip(sampled, opaque, strict=True)])
    distant = plate[known & ~near]
    if not len(person) or not len(distant):
        return known
    bins = _bins(plate)
    evidence = np.log(_frequencies(person)[bins]) - np.log(_frequencies(distant)[bins])
    weight = cv2.blur(known.astype(np.float32), (3, 3))
    smooth = cv2.blur(np.where(known, evidence, 0).astype(np.float32), (3, 3)) / np.maximum(weight, 1e-3)
    remains = known & near & (smooth > 0)
    return known & ~_dilated(remains, REACH / 2)


def _dilated(mask: np.ndarray, reach: float) -> np.ndarray:
    """A mask [H, W] grown by ``reach``, a fraction of its width, but at least by one pixel."""
    import cv2

    radius = max(1, round(reach * mask.shape[1]))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((2 * radius + 1,) * 2, np.uint8))) > 0


def _bins(rgb: np.ndarray) -> tuple[np.ndarray, ...]:
    """The bin of each colour [..., 3] along red, green and blue."""
    return tuple(np.moveaxis(rgb // (256 // COLOUR_BINS), -1, 0))


def _frequencies(rgb: np.ndarray) -> np.ndarray:
    """Smoothed frequencies of colours [N, 3]: [COLOUR_BINS]³, all positive."""
    counts = np.zeros((COLOUR_BINS,) * 3)
    np.add.at(counts, _bins(rgb), 1)
    for axis in range(3):
        edges = [(1, 1) if other == axis else (0, 0) for other in range(3)]
        padded = np.pad(counts, edges, mode="edge")
        counts = 0.25 * padded.take(range(COLOUR_BINS), axis) + 0.5 * counts
        counts += 0.25 * padded.take(range(2, COLOUR_BINS + 2), axis)
    return counts / counts.sum() + UNSEEN


def continue_structure(plate: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills unknown pixels: edges of the background continue into the region, which becomes smooth further inside.

    A smooth fill alone shows as a halo as soon as a moved head uncovers it.

    Args:
        plate: uint8 [H, W, 3].
        known: bool [H, W].
    """
    import cv2

    smooth = fill(plate, known)
    if known.all() or not known.any():
        return smooth
    unknown = (~known).astype(np.uint8)
    edges = cv2.inpaint(plate, unknown, INPAINT_RADIUS_PX, cv2.INPAINT_NS).astype(np.float32)
    depth = cv2.distanceTransform(unknown, cv2.DIST_L2, 5) / (STRUCTURE * known.shape[1])
    share = np.clip(2 - depth, 0, 1)[..., None]  # all structure up to that depth, none from twice the depth
    return np.clip(edges * share + smooth * (1 - share) + 0.5, 0, 255).astype(np.uint8)


def fill(plate: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills unknown pixels from known ones, by an image pyramid.

    From the coarsest level to the finest, each level keeps its known pixels and takes the others from the level below.

    Args:
        plate: uint8 [H, W, 3].
        known: bool [H, W].
    """
    import cv2

    if known.all():
        return plate
    if not known.any():
        return np.full_like(plate, UNKNOWN_GREY)
    weight: np.ndarray = known.astype(np.float32)
    image: np.ndarray = plate.astype(np.float32) * weight[..., None]
    levels = [(image, weight)]
    while min(levels[-1][1].shape) > 2:
        image, weight = (cv2.pyrDown(part) for part in levels[-1])
        levels.append((image, weight))
    image, weight = levels[-1]
    filled = (
        image / np.maximum(weight, 1e-6)[..., None]
        if (weight > 1e-6).all()
        else np.broadcast_to(image.sum((0, 1)) / max(float(weight.sum()), 1e-6), image.shape).astype(np.float32)
    )
    for image, weight in reversed(levels[:-1]):
        coarse = cv2.pyrUp(np.ascontiguousarray(filled), dstsize=weight.shape[::-1])
        fraction = np.clip(weight, 0, 1)[..., None]
        own = image / np.maximum(weight, 1e-6)[..., None]
        filled = own * fraction + coarse * (1 - fraction)
    filled[known] = plate[known]
    return np.clip(filled + 0.5, 0, 255).astype(np.uint8)
