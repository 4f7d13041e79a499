"""The interface of all engines: a task, its items, and what becomes of each item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from jean.errors import JeanError, SetupError, is_out_of_memory
from jean.progress import Progress

Item = TypeVar("Item")
Output = TypeVar("Output")
ItemIn = TypeVar("ItemIn", contravariant=True)
OutputOut = TypeVar("OutputOut", covariant=True)
_LOST = "a worker was lost while it had this item, perhaps because memory ran out."


class LostError(SetupError):
    """The failure of an item whose workers were lost; it says nothing about other items."""


class Task(Protocol[ItemIn, OutputOut]):
    """Work that every worker can do. It can be pickled; so can its items and outputs, which are small."""

    def start(self) -> Callable[[ItemIn], OutputOut]:
        """Loads what all items share, such as networks; called once per worker.

        The function that it returns handles one item. It may be called for an item again after a worker was lost.
        """
        ...


@dataclass(frozen=True)
class Done(Generic[Output]):
    """What became of one item.

    Attributes:
        index: of the item.
        output: what the task returned; None if it failed.
        error: why it failed, or None.
    """

    index: int
    output: Output | None = None
    error: JeanError | None = None


class Engine(Protocol):
    """Runs tasks.

    Attributes:
        place: where, for messages: "4 processes".
    """

    place: str

    def run(
        self, task: Task[Item, Output], items: Iterable[Item], title: str, progress: Progress, total: int | None = None
    ) -> Iterator[Done[Output]]:
        """Yields every item once, as it is finished, in any order. A failed item does not end the others.

        Items are taken one by one as workers become free, so that memory does not grow with their number. Closing the
        iterator ends the workers; items that they hold are lost.

        Args:
            task: what to do.
            items: what to do it with.
            title: of the work, for ``progress``.
            progress: advances with every item.
            total: number of items, where it is known.

        Raises:
            JeanError: ``task.start`` failed: it would fail everywhere.
            SetupError: no worker can be had.
        """
        ...


def attempt(function: Callable[[Item], Output], index: int, item: Item) -> Done[Output]:
    """Handles one item. A defect that one item brings to light is its failure, so that it does not cost the others."""
    try:
        return Done(index, function(item))
    except JeanError as error:
        return Done(index, error=error)
    except Exception as error:
        if is_out_of_memory(error):
            return Done(index, error=SetupError("memory ran out.", "Use fewer workers, or smaller sizes."))
        return Done(index, error=JeanError(f"internal error ({type(error).__name__}: {error})."))


def lost(index: int) -> Done[Output]:
    """The failure of an item whose workers were lost too often."""
    return Done(index, error=LostError(_LOST, "Use fewer workers, or more memory."))


def in_order(outcomes: Iterable[Done[Output]]) -> Iterator[Done[Output]]:
    """Outcomes in the order of their items. Those that come early are kept until their turn."""
    waiting: dict[int, Done[Output]] = {}
    following = 0
    for done in outcomes:
        waiting[done.index] = done
        while following in waiting:
            yield waiting.pop(following)
            following += 1
