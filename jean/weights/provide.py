"""Downloads the missing weights of a command in one step, with the user's consent.

A download is never silent: it needs ``--yes``, an answer on a terminal, or ``JEAN_AUTO_PULL=1``, and it is reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jean.errors import SetupError
from jean.progress import Progress
from jean.weights import store

AUTO_PULL = "JEAN_AUTO_PULL"  # environment variable; "1" consents to all downloads


def _refuse(question: str) -> bool:
    return False


@dataclass(frozen=True)
class Consent:
    """How a user agrees to downloads; by default only through the environment.

    Attributes:
        ask: asks the user a question.
        given: whether the user has agreed before.
    """

    ask: Callable[[str], bool] = _refuse
    given: bool = False

    @property
    def known(self) -> bool:
        """Whether the user or the environment agrees without a question."""
        return self.given or os.environ.get(AUTO_PULL) == "1"


def provide(
    required: Sequence[str],
    optional: Sequence[str],
    progress: Progress,
    consent: Consent | None = None,
) -> None:
    """Downloads the weights that are missing, if the user agrees.

    Weights whose licence forbids commercial use are never downloaded here; they need ``jean models pull``.

    Args:
        required: weights without which the command cannot work.
        optional: weights that improve its result. The user is not asked for these alone, and a failure is a warning.
        progress: receives the progress.
        consent: how the user agrees; asked at most once.

    Raises:
        SetupError: required weights are missing and nobody agreed, or they cannot be downloaded.
    """
    consent = consent or Consent()
    missing = _missing(required)
    extra = [name for name in _missing(optional) if not store.entry(name).restricted]
    free = [name for name in missing if not store.entry(name).restricted]
    if not (missing or extra):
        return
    agreed = consent.known
    if not agreed and missing and free == missing:
        agreed = consent.ask(f"Missing weights: {'; '.join(map(_described, missing + extra))}. Download them now?")
    if agreed:
        for name in free:
            store.pull(name, progress=progress)
        for name in extra:
            try:
                store.pull(name, progress=progress)
            except SetupError as error:
                progress.warn(str(error))
    if missing := _missing(required):
        names = " ".join(missing + ([] if agreed else extra))
        how = "" if free != missing else f" Or run the same command with --yes, or with {AUTO_PULL}=1."
        accept = " --accept-licence" if any(store.entry(name).restricted for name in missing) else ""
        raise SetupError(f"weights are missing: {', '.join(missing)}.", f"Run: jean models pull {names}{accept}.{how}")


def _missing(names: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if store.locate(name) is None]


def _described(name: str) -> str:
    """Name, size and licence of weights."""
    item = store.entry(name)
    size = f"{item.bytes / 1e6:.1f} MB, " if item.bytes else ""
    return f"{name} ({size}{item.licence})"
