"""Checks of ``person.safetensors``: names, shapes, types and values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jean.drivers.lip_style import STYLE_FEATURES
from jean.drivers.person_eyes import EYE_WIDTH, LID_POINTS
from jean.errors import ArtefactError
from jean.geometry import is_rigid
from jean.landmarks import COUNT
from jean.lips.prior import QUANTILES

# name: shape with T frames, E values of the expression vector and S pixels
_ARRAYS = {
    "camera_to_world": "T,4,4",
    "expression": "T,E",
    "offsets": f"T,{COUNT},2",
    "expression_to_offsets": f"E1,{2 * COUNT}",
    "background": "S,S,3",
    "focal_px": "1",
    "center_px": "2",
}
# the same of ``jean.drivers.support.Support``, with D values and K axes
_SUPPORT = {"mean": "D", "scale": "D", "axes": "K,D", "axis_std": "K", "radius": "1", "residual_radius": "1"}
# the same of ``jean.drivers.lip_style.LipStyle``, with W lip coordinates
_STYLE = {"quantiles": f"2,{len(QUANTILES)}", "coefficients": f"{STYLE_FEATURES},W"}
# the same of ``jean.drivers.person_eyes.PersonEyes``
_EYES = {"values": f"T,{EYE_WIDTH}", "lids": f"{EYE_WIDTH + 1},{LID_POINTS}", "closed": "2"}
_EYES |= {"from_expression": f"E1,{EYE_WIDTH}"}
_WIDTHS = {"upper_offsets": 62, "lower_offsets": 74, "pose": 6}  # D of the supports whose width is fixed


def check_person(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Checks the arrays of ``person.safetensors``.

    Args:
        path: the file, for messages.
        arrays: its arrays by name.

    Raises:
        ArtefactError: names the first array that is missing or wrong.
    """

    def refuse(reason: str) -> ArtefactError:
        return ArtefactError(f"{path} is damaged: {reason}.", "Run train-nerf again with the same options.")

    def check(prefix: str, shapes: Mapping[str, str], sizes: dict[str, int]) -> None:
        for name, dimensions in shapes.items():
            array = arrays.get(prefix + name)
            if array is None:
                raise refuse(f"it holds no {prefix}{name}")
            names = dimensions.split(",")
            if array.ndim != len(names):
                raise refuse(f"{prefix}{name} has shape {list(array.shape)}")
            for part, size in zip(names, array.shape, strict=True):
                expected = int(part) if part.isdigit() else sizes.setdefault(part, size)
                if size != expected or (size == 0 and part != "K"):
                    raise refuse(f"{prefix}{name} has shape {list(array.shape)}")
            kinds = "u" if name == "background" else "f"
            if array.dtype.kind not in kinds or (kinds == "u" and array.dtype != np.uint8):
                raise refuse(f"{prefix}{name} has type {array.dtype}")
            if kinds == "f" and not np.isfinite(array).all():
                raise refuse(f"{prefix}{name} holds values that are not finite")

    sizes: dict[str, int] = {}
    if "expression" in arrays and np.ndim(arrays["expression"]) == 2:
        sizes["E1"] = arrays["expression"].shape[1] + 1
    check("", _ARRAYS, sizes)
    if not is_rigid(arrays["camera_to_world"]):
        raise refuse("camera_to_world holds a matrix that is not a rigid pose")
    if arrays["focal_px"][0] <= 0:
        raise refuse("the focal length is not positive")
    check("", {name: "E" for name in arrays if name.startswith("mean/")}, {"E": sizes["E"]})
    if any(name.startswith("style/") for name in arrays):
        lips = arrays.get("support/lips/mean")
        check("style/", _STYLE, {} if lips is None else {"W": int(lips.size)})
    if any(name.startswith("eyes/") for name in arrays):
        check("eyes/", _EYES, {name: sizes[name] for name in ("T", "E1")})
        check("eyes/gaze/", _SUPPORT, {"D": 2})
        if arrays["eyes/gaze/scale"].min() <= 0:
            raise refuse("eyes/gaze/scale is not positive")
    if not any(name.startswith("support/") for name in arrays):  # a run of version 0.1 or earlier
        return
    supports = ["expression", "upper_offsets", "lower_offsets", "pose"]
    supports += ["lips"] if any(name.startswith("support/lips/") for name in arrays) else []
    for part in supports:
        widths = {"expression": sizes["E"], **_WIDTHS}
        check(f"support/{part}/", _SUPPORT, {"D": widths[part]} if part in widths else {})
        if arrays[f"support/{part}/scale"].min() <= 0:
            raise refuse(f"support/{part}/scale is not positive")
    check("support/pose/", {"mean_pose": "4,4"}, {})
    if not is_rigid(arrays["support/pose/mean_pose"]):
        raise refuse("support/pose/mean_pose is not a rigid pose")
