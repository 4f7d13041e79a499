"""The C structures of ``csrc/interface.h``, field by field, and the sizes that the kernels are compiled for."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

MAX_PLANES = 16
CHANNELS = 16  # features per cell of a plane
TILE = 32  # samples that the kernels compute together
MAX_HIDDEN = 128  # width of a hidden layer
MAX_SAMPLES = 64  # per ray
MAX_LAYERS = 16  # of the paper's field
MAX_COARSE, CUDA_COARSE = 256, 64  # grid lookups per ray, on the CPU and on a GPU (rays.h)
# Matrices are cut into panels of this many columns: 64 on the widest instruction set, 4 in double precision.
COLUMNS, COLUMNS_DOUBLE = 64, 4

_INT, _LONG, _DOUBLE, _FLOAT, _POINTER = (
    ctypes.c_int32,
    ctypes.c_int64,
    ctypes.c_double,
    ctypes.c_float,
    ctypes.c_void_p,
)
# Names and order of a field's weights: of the fast field, and of the heads of the paper's field.
WEIGHTS = ("first", "second", "second_bias", "density", "density_bias", "colour", "colour_bias", "rgb", "rgb_bias")
ENDS = ("density", "density_bias", "rgb", "rgb_bias")


class Plane(ctypes.Structure):
    """``JeanPlane`` of interface.h."""

    _fields_ = [
        ("table", _POINTER),
        ("gradient", _POINTER),
        ("height", _INT),
        ("width", _INT),
        ("first_axis", _INT),
        ("second_axis", _INT),
        ("low", _DOUBLE * 2),
        ("size", _DOUBLE * 2),
    ]


class Field(ctypes.Structure):
    """``JeanField``."""

    _fields_ = [
        *[
            (name, _INT)
            for name in (
                "planes",
                "gated",
                "hidden",
                "colour_width",
                "frames",
                "light_height",
                "light_width",
                "bend_cells",
                "relief_cells",
            )
        ],
        ("plane", Plane * MAX_PLANES),
        ("light_low", _DOUBLE * 2),
        ("light_size", _DOUBLE * 2),
        ("prior_centre", _DOUBLE * 3),
        ("prior_radii", _DOUBLE * 3),
        ("bend", _POINTER),
        ("relief", _POINTER),
        *[
            (name, _POINTER)
            for name in (
                *("gates", "bias", "light", "first", "second", "second_bias", "density", "density_bias"),
                *("colour", "colour_bias", "rgb", "rgb_bias"),
            )
        ],
    ]


class FieldGradients(ctypes.Structure):
    """``JeanFieldGradients``."""

    _fields_ = [
        (name, _POINTER)
        for name in (
            *("gates", "bias", "light", "first", "second", "second_bias", "density", "density_bias"),
            *("colour", "colour_bias", "rgb", "rgb_bias", "positions"),
        )
    ]


class Samples(ctypes.Structure):
    """``JeanSamples``."""

    _fields_ = [
        ("count", _LONG),
        *[(name, _POINTER) for name in ("positions", "frame", "density", "rgb", "saved")],
    ]


class March(ctypes.Structure):
    """``JeanMarch``."""

    _fields_ = [
        ("rays", _LONG),
        ("cells", _INT * 3),
        ("coarse", _INT),
        ("samples", _INT),
        ("low", _FLOAT * 3),
        ("high", _FLOAT * 3),
        ("uniform_weight", _FLOAT),
        ("full_samples_opacity", _FLOAT),
        *[(name, _POINTER) for name in ("grid", "origins", "directions")],
    ]


class Picture(ctypes.Structure):
    """``JeanPicture``."""

    _fields_ = [*[(name, _POINTER) for name in ("colour", "opacity", "depth")], ("min_transmittance", _FLOAT)]


class Torso(ctypes.Structure):
    """``JeanTorso``."""

    _fields_ = [
        ("plane", Plane * 2),
        ("bend_hidden", _INT),
        ("hidden", _INT),
        *[
            (name, _POINTER)
            for name in ("bend_first", "bend_bias", "bend_second", "bend_second_bias", "bias", "last", "last_bias")
        ],
        ("reach", _FLOAT),
    ]


class View(ctypes.Structure):
    """``JeanView``."""

    _fields_ = [
        ("count", _LONG),
        ("focal_px", _FLOAT),
        ("size_px", _FLOAT),
        ("center_px", _FLOAT * 2),
        ("camera_to_world", _FLOAT * 12),
        *[(name, _POINTER) for name in ("pixels", "background", "rgb", "depth")],
        ("min_transmittance", _FLOAT),
    ]


class CompositeRays(ctypes.Structure):
    """``JeanComposite``."""

    _fields_ = [
        ("rays", _LONG),
        ("samples", _INT),
        ("channels", _INT),
        *[
            (name, _POINTER)
            for name in ("density", "values", "depths", "intervals", "colour", "opacity", "depth", "weights")
        ],
    ]


class CompositeGradients(ctypes.Structure):
    """``JeanCompositeGradients``."""

    _fields_ = [
        (name, _POINTER)
        for name in ("colour", "opacity", "depth", "weights", "density", "values", "depths", "intervals")
    ]


# Names and order of the torso layer's tensors.
TORSO = (
    *("bend_first", "bend_bias", "bend_second", "bend_second_bias"),
    *("shade", "bias", "last", "last_bias"),
)


class AdamTensor(ctypes.Structure):
    """``JeanAdamTensor``."""

    _fields_ = [
        ("count", _LONG),
        *[(name, _POINTER) for name in ("value", "mean", "square", "average", "gradient")],
        *[(name, _FLOAT) for name in ("beta1", "beta2", "eps", "step", "root")],
    ]


class Adam(ctypes.Structure):
    """``JeanAdam``."""

    _fields_ = [("tensors", ctypes.POINTER(AdamTensor)), ("count", _LONG), ("share", _FLOAT)]


class Grid(ctypes.Structure):
    """``JeanGrid``."""

    _fields_ = [("grid", _POINTER), *[(name, _LONG) for name in ("height", "width", "channels")]]


class TorsoLayer(ctypes.Structure):
    """``JeanTorsoLayer``."""

    _fields_ = [
        ("plane", Plane * 2),
        *[(name, _INT) for name in ("bend_hidden", "hidden", "frames")],
        ("reach", _DOUBLE),
        *[(name, _POINTER) for name in TORSO],
    ]


class TorsoPixels(ctypes.Structure):
    """``JeanTorsoPixels``."""

    _fields_ = [("count", _LONG), *[(name, _POINTER) for name in ("coordinates", "frame", "rgb", "opacity")]]


class TorsoGradients(ctypes.Structure):
    """``JeanTorsoLayer``'s tensors, each a pointer to its gradient."""

    _fields_ = [(name, _POINTER) for name in TORSO]


class Rays(ctypes.Structure):
    """``JeanRays``."""

    _fields_ = [
        ("count", _LONG),
        ("samples", _INT),
        *[
            (name, _POINTER)
            for name in ("ray", "frame", "origins", "directions", "edges", "colour", "opacity", "depth")
        ],
    ]


class RayGradients(ctypes.Structure):
    """``JeanRayGradients``."""

    _fields_ = [(name, _POINTER) for name in ("to_colour", "to_opacity", "to_depth", "edges", "origins", "directions")]


class Layer(ctypes.Structure):
    """``JeanLayer``."""

    _fields_ = [
        ("weight", _POINTER),
        ("bias", _POINTER),
        ("inputs", _INT),
        ("outputs", _INT),
        ("per_frame", _INT),
    ]


class Mlp(ctypes.Structure):
    """``JeanMlp``."""

    _fields_ = [
        *[(name, _INT) for name in ("layers", "trunk", "join", "frames")],
        ("layer", Layer * MAX_LAYERS),
        *[(name, _POINTER) for name in ENDS],
        ("middle", _DOUBLE * 3),
        ("reach", _DOUBLE * 3),
    ]


class MlpGradients(ctypes.Structure):
    """``JeanMlpGradients``."""

    _fields_ = [
        ("weight", _POINTER * MAX_LAYERS),
        ("bias", _POINTER * MAX_LAYERS),
        *[(name, _POINTER) for name in (*ENDS, "positions")],
    ]


_SPLAT_INPUTS = ("centres", "scales", "rotations", "opacities", "colours", "world_to_camera", "intrinsics")
_SPLAT_TENSORS = (*_SPLAT_INPUTS, "records", "radii", "order", "colour", "opacity", "depth")


class Splats(ctypes.Structure):
    """``JeanSplats``."""

    _fields_ = [
        ("count", _LONG),
        ("channels", _INT),
        ("compensate", _INT),
        ("window", _INT * 4),
        ("near_cm", _DOUBLE),
        *[(name, _POINTER) for name in _SPLAT_TENSORS],
    ]

    def fill(self, addresses: Iterable[int | None]) -> None:
        """Writes the addresses of all tensors, in the order of the fields."""
        for name, address in zip(_SPLAT_TENSORS, addresses, strict=True):
            setattr(self, name, address)


class SplatGradients(ctypes.Structure):
    """``JeanSplatGradients``."""

    _fields_ = [(name, _POINTER) for name in ("to_colour", "to_opacity", "to_depth", *_SPLAT_INPUTS, "screen")]


def splat_channels(colours: int) -> int:
    """Channels of a projected Gaussian (``splat.h``): up to 3 or 7 colours, and the depth."""
    return 4 if colours <= 3 else 8


def splat_record(colours: int) -> int:
    """Numbers of a projected Gaussian (``splat.h``)."""
    return 8 + splat_channels(colours)


def check_cells(cells: int) -> None:
    """Raises ValueError for a sampling grid with more cells than a float can number exactly (``rays.h``)."""
    if cells > 2**24:
        raise ValueError(f"at most {2**24} cells in a sampling grid, not {cells}")
