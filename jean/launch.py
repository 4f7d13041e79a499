"""How this process was started: alone, or by ``torchrun`` as one of several that train together."""

from __future__ import annotations

import os


def rank_count() -> int:
    """Number of processes of this training, as ``torchrun`` tells each of them; 1 without it."""
    known = "RANK" in os.environ and "MASTER_ADDR" in os.environ
    return int(os.environ.get("WORLD_SIZE", "1")) if known else 1


def rank_index() -> int:
    """Number of this process among them, from 0."""
    return int(os.environ["RANK"]) if rank_count() > 1 else 0


def local_rank() -> int:
    """Number of this process among those of its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", rank_index()))
