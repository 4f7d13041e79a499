"""Names as users write them: in any case, and with typing errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SIMILAR = 0.6  # least similarity (0 to 1) of a name that is suggested


def known_name(text: str, known: Iterable[str]) -> str | None:
    """The known name that ``text`` means: the same, or the only one that differs in upper and lower case.

    Example:
        >>> known_name("Happy", ["happy", "sad"])
        'happy'
    """
    names = list(known)
    if text in names:
        return text
    same = [name for name in names if name.casefold() == text.casefold()]
    return same[0] if len(same) == 1 else None


def suggestion(text: str, known: Iterable[str]) -> str:
    """A sentence with the known name that is most similar to ``text``, or an empty string.

    Example:
        >>> suggestion("hapy", ["happy", "sad"])
        "Did you mean 'happy'? "
    """
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(text.casefold(), list(folded), 1, SIMILAR)
    return f"Did you mean {folded[near[0]]!r}? " if near else ""
