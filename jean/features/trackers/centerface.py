"""CenterFace: a small network that finds faces down to a few percent of the height of a frame.

The network gives, for each cell of 4 × 4 pixels, the probability that a face is centred there, the logarithm of the
face's height and width in cells, and the offset of its centre (Xu et al., "CenterFace: Joint Face Detection and
Alignment Using Face as Point", 2019). OpenCV runs it, at any size that is a multiple of 32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jean.errors import ArtefactError

WEIGHTS = "centerface.onnx"
LONG_SIDE_PX = 960  # frames are scaled to this; a face of 5 % of the height of 1920 × 1080 px then has 27 px
STRIDE = 4  # pixels per cell
MULTIPLE = 32  # sizes that the network accepts
# Faces of 4 % of the height reach 0.35; a box without a face does no harm, because no landmarks are found in it
PROBABILITY = 0.3
OVERLAP = 0.3  # boxes that overlap by more belong to one face
OUTPUTS = ("537", "538", "539", "540")  # probability, size, offset, five landmarks


class FaceFinder:
    """Finds faces in single images.

    Args:
        path: ``centerface.onnx``.

    Raises:
        ArtefactError: the file is not this network.
    """

    def __init__(self, path: Path):
        import cv2

        try:
            self._net = cv2.dnn.readNetFromONNX(np.fromfile(path, np.uint8))
        except cv2.error as error:
            remedy = f"Run: jean models pull {WEIGHTS}"
            raise ArtefactError(f"{path} cannot be loaded as CenterFace.", remedy) from error

    def find(self, image: np.ndarray) -> np.ndarray:
        """Boxes around the faces of an image.

        Args:
            image: RGB uint8 [H, W, 3].

        Returns:
            float32 [N, 4] (left, top, right, bottom), px of the image, from the most probable face to the least.
        """
        import cv2

        height, width = image.shape[:2]
        scale = LONG_SIDE_PX / max(width, height)
        size = [max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in (width, height)]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(image, size, interpolation=method)
        self._net.setInput(cv2.dnn.blobFromImage(resized))  # RGB in 0 to 255, as the network was trained
        probability, sizes, offsets, _ = self._net.forward(OUTPUTS)
        boxes = decode(probability[0, 0], sizes[0], offsets[0])
        return boxes * np.tile(np.array([width, height]) / size, 2).astype(np.float32)


def decode(probability: np.ndarray, sizes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Converts the output of the network to boxes.

    Args:
        probability: that a face is centred in a cell, [h, w].
        sizes: logarithm of (height, width) in cells, [2, h, w].
        offsets: of the centre from the cell's, (y, x) in cells, [2, h, w].

    Returns:
        float32 [N, 4] (left, top, right, bottom), px of the network's input; the most probable of the boxes that
        overlap, sorted by probability.
    """
    rows, columns = np.nonzero(probability > PROBABILITY)
    order = np.argsort(-probability[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    half = np.exp(sizes[::-1, rows, columns]).T / 2  # (width, height)
    centre = np.stack([columns, rows], 1) + offsets[::-1, rows, columns].T + 0.5
    boxes = STRIDE * np.concatenate([centre - half, centre + half], 1).astype(np.float32)
    kept: list[np.ndarray] = []
    for box in boxes:
        if all(overlap(box, other) <= OVERLAP for other in kept):
            kept.append(box)
    return np.array(kept, np.float32).reshape(-1, 4)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Area that two boxes (left, top, right, bottom) share, as a fraction of the area that they cover together.

    Example:
        >>> overlap(np.array([0, 0, 2, 2]), np.array([1, 0, 3, 2]))
        0.3333333333333333
    """
    shared = np.prod(np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None))
    covered = np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared
    return float(shared / covered) if covered > 0 else 0.0
