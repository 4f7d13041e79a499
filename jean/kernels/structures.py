"""What a training step hands to the kernels beside the fields, as ``csrc/interface.h`` has it."""

from __future__ import annotations

import ctypes

from jean.kernels.library import _DOUBLE, _FLOAT, _INT, _LONG, _POINTER, Plane

# Tensors that all pixels of the torso layer share, in the kernels' order.
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
    """Where the gradients of the shared tensors go."""

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
