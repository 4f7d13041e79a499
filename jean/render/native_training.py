"""What a training step hands to the kernels beside the fields, as ``csrc/interface.h`` has it."""

from __future__ import annotations

import ctypes

from jean.render.native import _FLOAT, _LONG, _POINTER


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
