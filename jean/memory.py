"""A limit on the memory of a command: ``--memory``.

The system enforces it (``RLIMIT_DATA`` of Linux): an allocation beyond the limit fails, and the command ends with exit
code 5 before it takes what other programs need. The limit counts private memory that a process has reserved, which is
up to twice what it uses. It counts neither the memory of a GPU nor mapped files, which the system drops when it needs
their pages. It makes no computation smaller; only commands with several processes start fewer of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jean.errors import SetupError, UsageError

UNITS = {"M": 10**6, "MB": 10**6, "MIB": 2**20, "G": 10**9, "GB": 10**9, "GIB": 2**30}
LEAST_BYTES = 500 * 10**6  # importing the libraries takes as much
# Reserved by a process of ``prepare`` with the default extractors: 1.47 GB for a video of 524 px
WORKER_BYTES = 2 * 10**9
PARENT_BYTES = 500 * 10**6  # reserved by the process that hands out the work


def bytes_of(text: str) -> int:
    """The number of bytes of a text such as ``4GB``, ``800 MB`` or ``1.5GiB``.

    Examples:
        >>> bytes_of("4GB"), bytes_of("0.5 gib")
        (4000000000, 536870912)

    Raises:
        UsageError: no such text, or less than ``LEAST_BYTES``.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]+)", text.strip(), re.IGNORECASE)
    if found is None or found[2].upper() not in UNITS:
        raise UsageError(f"--memory {text}: no size.", "Write, for example: --memory 4GB")
    count = int(float(found[1]) * UNITS[found[2].upper()])
    if count < LEAST_BYTES:
        raise UsageError(f"--memory {text}: too little for any command.", f"Give at least {LEAST_BYTES // 10**6}MB.")
    return count


@contextmanager
def limited_to(limit: int | None) -> Iterator[None]:
    """Limits the memory of this process, bytes; None for no further limit. The former limit is set again at the end.

    Raises:
        SetupError: the system enforces no such limit, or a lower one is set that this process may not raise.
    """
    if limit is None:
        yield
        return
    if not sys.platform.startswith("linux"):
        raise SetupError("this system cannot limit the memory of a process.", "Leave --memory away.")
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    if before[1] != resource.RLIM_INFINITY and limit > before[1]:
        raise SetupError(f"the system allows {before[1]:,} bytes, less than --memory.", "Give a smaller --memory.")
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def current_limit() -> int | None:
    """The limit on the memory of this process, bytes; None without one."""
    if not sys.platform.startswith("linux"):
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def processes_within(count: int, limit: int | None) -> int:
    """At most ``count`` processes that fit into the limit together, at least one.

    Examples:
        >>> processes_within(8, 9 * 10**9), processes_within(8, 10**9), processes_within(8, None)
        (4, 1, 8)
    """
    return count if limit is None else max(1, min(count, (limit - PARENT_BYTES) // WORKER_BYTES))


def share_of(limit: int | None, count: int) -> int | None:
    """The limit of each of ``count`` processes under a limit for all of them and this one."""
    return None if limit is None else max(1, (limit - PARENT_BYTES) // count)
