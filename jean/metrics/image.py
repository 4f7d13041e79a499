"""PSNR and SSIM over the aligned face box, and over the face hull and the head."""

from __future__ import annotations

import numpy as np

from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, finite_mean
from jean.metrics.crops import aligned_crops, hull_mask, resize

# Identical frames have infinite PSNR, but a mean over frames needs a finite number. For scale: two 8-bit images of
# 512 × 512 pixels that differ by one level in a single value reach 107 dB.
PSNR_LIMIT_DB = 100.0

# The window of the original SSIM: 11 × 11 Gaussian, σ = 1.5, K1 = 0.01, K2 = 0.03.
SSIM_SIGMA_PX = 1.5
SSIM_RADIUS_PX = 5
SSIM_K1 = 0.01
SSIM_K2 = 0.03


def psnr(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(1 / mean squared error over pixels and channels).

    Args:
        image, reference: [H, W, 3], float in [0, 1].
        mask: pixels that count, bool [H, W]; None for all pixels.

    Returns:
        dB; infinite for equal images, NaN for an empty mask.

    >>> round(psnr(np.full((4, 4, 3), 0.6), np.full((4, 4, 3), 0.5)), 6)
    20.0
    """
    difference = np.asarray(image, np.float64) - np.asarray(reference, np.float64)
    if mask is not None:
        difference = difference[mask]
    if difference.size == 0:
        return float("nan")
    error = float(np.mean(difference**2))
    return float("inf") if error == 0 else -10.0 * float(np.log10(error))


def ssim_map(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Structural similarity per pixel and channel (Wang et al. 2004).

    Gaussian window, population covariance, data range 1, each RGB channel separately. Equals scikit-image's
    ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, full=True)``.

    Args:
        image, reference: [H, W, 3], float in [0, 1].

    Returns:
        float64 [H, W, 3], −1 to 1.
    """
    import cv2

    x, y = np.asarray(image, np.float64), np.asarray(reference, np.float64)
    offsets = np.arange(-SSIM_RADIUS_PX, SSIM_RADIUS_PX + 1)
    taps = np.exp(-0.5 * (offsets / SSIM_SIGMA_PX) ** 2)
    taps /= taps.sum()

    def blur(values: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(values, -1, taps, taps, borderType=cv2.BORDER_REFLECT)

    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)


def ssim(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean structural similarity (see ``ssim_map``) over pixels and channels.

    Pixels within 5 px (the radius of the window) of the image's edge do not count, as in scikit-image.

    Args:
        image, reference: [H, W, 3], float in [0, 1].
        mask: pixels that count, bool [H, W]; None for all pixels.

    Returns:
        −1 to 1; NaN if no pixel counts.
    """
    radius = SSIM_RADIUS_PX
    inner = ssim_map(image, reference)[radius:-radius, radius:-radius]
    if mask is not None:
        inner = inner[mask[radius:-radius, radius:-radius]]
    return float(inner.mean()) if inner.size else float("nan")


def psnr_and_ssim(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> tuple[float, float]:
    """PSNR in dB, limited to ``PSNR_LIMIT_DB``, and SSIM of two uint8 images [H, W, 3].

    Both are NaN for an empty mask, or for images smaller than the window of SSIM.
    """
    nan = float("nan")
    if min(image.shape[:2]) <= 2 * SSIM_RADIUS_PX or (mask is not None and not mask.any()):
        return nan, nan
    x, y = image / 255.0, reference / 255.0
    return min(psnr(x, y, mask), PSNR_LIMIT_DB), ssim(x, y, mask)


class ImageQuality(Metric):
    """PSNR and SSIM over the aligned face box, averaged over frames."""

    name = "image"
    version = "2"
    role = "expression"
    columns = (
        Column("psnr_db", "PSNR", "higher", 2, "Over the aligned face box, dB."),
        Column("ssim", "SSIM", "higher", 3, "Over the aligned face box; Gaussian window, RGB."),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._psnr: list[float] = []
        self._ssim: list[float] = []

    def update(self, pair: FramePair) -> None:
        """Adds PSNR and SSIM of one frame pair; NaN if a face is missing."""
        assert pair.reference is not None
        face, reference = pair.result.face, pair.reference.face
        values = (float("nan"), float("nan"))
        if face is not None and reference is not None:
            crops = aligned_crops(pair.result.image, face.landmarks, pair.reference.image, reference.landmarks)
            values = psnr_and_ssim(*crops)
        self._psnr.append(values[0])
        self._ssim.append(values[1])

    def result(self) -> Scores:
        """The means over frames with both faces."""
        series = {"psnr_db": np.array(self._psnr), "ssim": np.array(self._ssim)}
        return Scores({name: finite_mean(track) for name, track in series.items()}, series)


class MaskedQuality(Metric):
    """PSNR and SSIM of the same pixels in both images: inside the face hull, and inside the reference's head matte."""

    name = "pixels"
    version = "1"
    columns = (
        Column("psnr_face_db", "PSNR face", "higher", 2, "Inside the convex hull of the landmarks, same pixels, dB."),
        Column("ssim_face", "SSIM face", "higher", 3, "Inside the convex hull of the landmarks, same pixels."),
        Column("psnr_head_db", "PSNR head", "higher", 2, "Inside the reference's head matte, same pixels, dB."),
        Column("ssim_head", "SSIM head", "higher", 3, "Inside the reference's head matte, same pixels."),
    )

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._values: dict[str, list[float]] = {column.name: [] for column in self.columns}
        self._resized = False

    def update(self, pair: FramePair) -> None:
        """Adds one frame pair; only a clip folder as the reference has mattes."""
        assert pair.reference is not None
        if not self.context.reference_is_clip:
            return
        height, width = pair.reference.image.shape[:2]
        self._resized |= pair.result.image.shape != pair.reference.image.shape
        image = resize(pair.result.image, width, height)
        if pair.reference.face is not None:
            self._add("face", image, pair.reference.image, hull_mask(pair.reference.face.landmarks, height, width))
        if pair.reference.matte is not None:
            self._add("head", image, pair.reference.image, pair.reference.matte[..., 0] >= 128)

    def _add(self, region: str, image: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> None:
        psnr_db, similarity = psnr_and_ssim(image, reference, mask)
        self._values[f"psnr_{region}_db"].append(psnr_db)
        self._values[f"ssim_{region}"].append(similarity)

    def result(self) -> Scores:
        """The means over frames."""
        notes = []
        if not self.context.reference_is_clip:
            notes.append("PSNR and SSIM of face and head need a clip folder as the reference.")
        if self._resized:
            notes.append("The result was resized to the reference's size for PSNR and SSIM of face and head.")
        return Scores({name: finite_mean(np.array(track)) for name, track in self._values.items()}, {}, tuple(notes))
