"""Which numbers the workers of a host's log folder have, whatever table keeps them."""

from collections.abc import Callable, Mapping

from thrive.domain.errors import Refused
from thrive.store.eventlog.prediction_id import MAX_WORKER

_PREFIX = "serving-worker/"


def row_of(number: int) -> str:
    """Return the name of the row that says who has a number."""
    return f"{_PREFIX}{number:04x}"


def number_in(row: str) -> int:
    """Return the number that a row's name says."""
    return int(row.removeprefix(_PREFIX), 16)


FIRST_ROW, LAST_ROW = row_of(0), row_of(MAX_WORKER)


def assign(
    taken: Mapping[str, int], claim: Callable[[int, str], bool], log_id: str, count: int
) -> list[int]:
    """Return the numbers of a log folder's first `count` workers: the same at each call.

    Args:
        taken: every number that is taken, by its owner.
        claim: takes a number for an owner; False if somebody else did meanwhile.
        log_id: names the folder.
        count: of workers.

    Raises:
        Refused: every number is taken.
    """
    free = max(taken.values(), default=-1) + 1
    numbers: list[int] = []
    for slot in range(count):
        owner = f"{log_id}/{slot}"
        if owner in taken:
            numbers.append(taken[owner])
            continue
        while free <= MAX_WORKER and not claim(free, owner):
            free += 1
        if free > MAX_WORKER:
            raise Refused(
                f"All {MAX_WORKER + 1} worker numbers of this project are taken.",
                "keep the log folders of serving hosts between restarts; begin a new project",
            )
        numbers.append(free)
        free += 1
    return numbers
