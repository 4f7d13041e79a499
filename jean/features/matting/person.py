"""Matting by MediaPipe's small person network; head and torso are separated by the landmarks and the hair's colour.

The network finds the person in any colours before any background, also before a moving one. It is uncertain along the
edge; there, the opacity comes from the colours on both sides, as for ``grabcut``.
"""

from __future__ import annotations

import numpy as np

from jean.features.matting.common import Frame, brighten_darks, shrink, work_size
from jean.features.matting.finish import finish_mattes
from jean.features.matting.models import KEY_FRAMES, evenly_spaced, frame_guide
from jean.features.matting.motion import MotionSmoother
from jean.features.matting.network import Classify, NetworkMatting
from jean.features.matting.refine import connected_to
from jean.features.matting.shape import certain_foreground
from jean.features.matting.split import fit_hair
from jean.landmarks import fill_gaps

WEIGHTS = "selfie_segmentation.tflite"


class PersonMatting(NetworkMatting):
    """Matting by a network for people. See ``Matting``.

    Other people in the picture belong to the background, unless they touch the person. A block in which no frame has
    landmarks gets an empty matte, because nothing tells who the person is.
    """

    name = "person"
    weights = (WEIGHTS,)
    classes = 1
    version = "1"

    def mattes(self, block: list[Frame], probabilities: Classify) -> np.ndarray:
        """See ``NetworkMatting``."""
        full = [rgb for rgb, _ in block]
        side = full[0].shape[0]
        size = work_size(side)
        landmarks = np.stack([points for _, points in block]).astype(np.float64) * (size / side)
        valid = np.isfinite(landmarks).all((1, 2))
        if not valid.any():
            return np.zeros((len(block), side, side, 2), np.uint8)
        landmarks = fill_gaps(landmarks, valid)
        plain = [shrink(rgb, size) for rgb in full]
        small = np.stack([brighten_darks(rgb) for rgb in plain])
        smoother = MotionSmoother(small)
        person = smoother.smooth(
            np.stack([np.ascontiguousarray(probabilities(rgb)[..., 0], np.float32) for rgb in plain])
        )
        insides = [certain_foreground(points, size) for points in landmarks]
        masks = np.stack(
            [
                connected_to(inside, frame_guide(rgb).filter(probability) > 0.5)
                for rgb, probability, inside in zip(small, person, insides, strict=True)
            ]
        )
        keys = np.flatnonzero(valid)[evenly_spaced(int(valid.sum()), KEY_FRAMES)]
        hair = fit_hair(small[keys], masks[keys].astype(np.float32), landmarks[keys])
        return finish_mattes(full, small, masks, landmarks, hair, smoother)
