"""Documents and texts that are parsable but wrong, for fuzz tests."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.numpy import save as save_arrays

# What may stand in place of any value of a JSON document.
WRONG = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 3, 10**9, -(10**18), 10**400, 0.5, -0.0, 1e-300, 1e308, -1e308),
        *(
            "",
            "x",
            "0",
            "nan",
            "../../x",
            "\u0000",
            "é" * 300,
            [],
            {},
            [None],
            [[]],
            {"": 1},
            [1, 2],
            ["a"],
            {"name": "a"},
        ),
    ]
).map(copy.deepcopy)


@st.composite
def wrong_documents(draw: Any, document: Any, most: int = 2) -> Any:
    """A document in which up to ``most`` values are replaced, removed, renamed or added."""
    result = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        places = list(_places(result))
        if not places:
            return draw(WRONG)
        holder, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["replace", "remove", "add", "repeat"]))
        if change == "remove":
            del holder[key]
        elif change == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(["unknown", "", "format", "kind"]))] = draw(WRONG)
        elif change == "repeat" and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key] = draw(WRONG)
    return result


def _places(value: Any) -> Any:
    """(holder, key) of every value; of long lists only the first two items."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


@st.composite
def wrong_texts(draw: Any, text: str) -> bytes:
    """A text with a piece removed, repeated or replaced, or other bytes altogether."""
    data = text.encode()
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60))
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.integers(0, 12)))
    pieces = [b"", b"\x00", b"\xff", b",", b'"', b"\n", b"nan", b"1e999", b"-1", b"{", b"[" * 3000, data[start:end] * 3]
    return data[:start] + draw(st.sampled_from(pieces)) + data[end:]


class Arrays:
    """The arrays of a safetensors file, read once. hypothesis prints its path instead of all numbers."""

    def __init__(self, path: Path):
        self.path, self.arrays = path, load_file(path)

    def __repr__(self) -> str:
        return f"Arrays({self.path.name})"


@st.composite
def wrong_arrays(draw: Any, whole: Arrays) -> bytes:
    """Content of a safetensors file in which one array is missing, renamed, or of another type, shape or value."""
    arrays = dict(whole.arrays)
    name = draw(st.sampled_from(sorted(arrays)))
    array = arrays.pop(name)
    change = draw(st.sampled_from(["remove", "rename", "type", "flat", "first", "empty", "value", "more"]))
    if change == "rename":
        arrays["other"] = array
    elif change == "type":
        with np.errstate(invalid="ignore"):
            arrays[name] = array.astype(draw(st.sampled_from([np.uint8, np.int64, np.float16, np.float32, bool])))
    elif change == "flat":
        arrays[name] = array.reshape(-1)
    elif change == "first":
        arrays[name] = np.ascontiguousarray(np.atleast_1d(array)[:1])
    elif change == "empty":
        arrays[name] = np.atleast_1d(array)[:0]
    elif change == "more":
        arrays |= {name: array, "more": np.zeros(3, np.float32)}
    elif change == "value" and array.size:
        changed = array.copy()
        wrong = draw(st.sampled_from([0, 1, -1, np.nan, np.inf, 1e38]))
        kind = array.dtype.kind
        changed.reshape(-1)[draw(st.integers(0, max(0, changed.size - 1)))] = wrong if kind == "f" else 1
        arrays[name] = changed
    return save_arrays(arrays)


def text_of(document: Any) -> str:
    """JSON text of a document."""
    return json.dumps(document, ensure_ascii=False)
