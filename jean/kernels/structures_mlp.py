"""The C structures of the paper's field (interface.h), and what its kernels can take."""

from __future__ import annotations

import ctypes

MAX_LAYERS = 16
# Matrices are cut into panels of 64 columns on the widest target, 4 in double precision.
COLUMNS, COLUMNS_DOUBLE = 64, 4

_INT, _DOUBLE, _POINTER = ctypes.c_int32, ctypes.c_double, ctypes.c_void_p
_ENDS = ("density", "density_bias", "rgb", "rgb_bias")


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
        *[(name, _POINTER) for name in _ENDS],
        ("middle", _DOUBLE * 3),
        ("reach", _DOUBLE * 3),
    ]


class MlpGradients(ctypes.Structure):
    """``JeanMlpGradients``."""

    _fields_ = [
        ("weight", _POINTER * MAX_LAYERS),
        ("bias", _POINTER * MAX_LAYERS),
        *[(name, _POINTER) for name in (*_ENDS, "positions")],
    ]
