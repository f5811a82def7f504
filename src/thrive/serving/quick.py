"""The way of most requests: bytes to tuples to answers, without an object a value.

It is taken when production alone answers, without feature views, and the body has a common form;
every other request takes the way through `assemble`, with the same answer and the same record.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.packaging.compiled import (
    CompiledReader,
    Read,
    Rows,
    gains_from_batches,
    row_predictor,
)
from thrive.packaging.formats.predictor import Predictor
from thrive.packaging.signature import Columns
from thrive.serving.batches import Batcher
from thrive.serving.records import RowsEncoder


class QuickRows(msgspec.Struct, frozen=True, gc=False):
    """The rows of one request, with the same words as `assemble.Assembled`."""

    names: tuple[str, ...]
    key_names: tuple[str, ...]
    read: Read

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.read.rows)

    @property
    def keys(self) -> dict[str, Any]:
        """The declared request fields by name, a value a row."""
        if not self.key_names:
            return {}
        return dict(zip(self.key_names, zip(*self.read.keys, strict=True), strict=True))

    @property
    def status(self) -> dict[str, list[str]]:
        """Nothing: there are no feature views."""
        return {}

    def logged(self, mask: frozenset[str]) -> dict[str, Any]:
        """Return the inputs by name, a value a row, as the log keeps them."""
        rows = self.read.rows
        columns: Iterable[Any] = zip(rows[0]) if len(rows) == 1 else zip(*rows, strict=True)
        if not mask:
            return dict(zip(self.names, columns, strict=True))
        named = zip(self.names, columns, strict=True)
        return {name: values for name, values in named if name not in mask}


class Asking:
    """How a version's model is asked: at once, or with whatever else waits.

    Args:
        predictor: the version's model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._rows = row_predictor(predictor)
        self._columns = predictor.predict
        self._together = gains_from_batches(predictor)
        self._row_batches: Batcher[Rows] = Batcher(self._rows, _join_rows)
        self.at_once = None if self._together else self._rows
        """Answers rows now; None for a model that is asked with whatever else waits."""
        self._column_batches: Batcher[Columns] = Batcher(self._columns, _join_columns)

    async def rows(self, rows: Rows) -> NDArray[Any]:
        """Return the answers to rows of values; raises what the model raises."""
        if self._together:
            return await self._row_batches.ask(rows, len(rows))
        return self._rows(rows)

    async def columns(self, columns: Columns, count: int) -> NDArray[Any]:
        """Return the answers to `count` rows in typed columns; raises what the model raises."""
        if self._together:
            return await self._column_batches.ask(columns, count)
        return self._columns(columns)


Reading = Callable[[CompiledReader, bytes], Read | None]


class QuickPath:
    """Reads the requests of one version.

    Args:
        reader: reads the version's rows.
        names: its inputs.
        key_names: the request fields kept beside them.
        encoder: writes its answers for the log.
        said: the headers that name the version, as they are sent.
        at_once: whether the model answers without waiting for other requests.
    """

    def __init__(
        self,
        reader: CompiledReader,
        names: tuple[str, ...],
        key_names: list[str],
        encoder: RowsEncoder,
        said: bytes,
        *,
        at_once: bool,
    ) -> None:
        self.encoder = encoder
        self.said = said
        self.at_once = at_once
        self._reader = reader
        self._names = names
        self._key_names = tuple(key_names)

    def read(self, body: bytes, reading: Reading) -> QuickRows | None:
        """Return the rows of a body; None if it has to be read the other way."""
        found = reading(self._reader, body)
        return None if found is None else QuickRows(self._names, self._key_names, found)


def _join_rows(questions: list[Rows]) -> Rows:
    return list(chain.from_iterable(questions))


def _join_columns(questions: list[Columns]) -> Columns:
    return {name: np.concatenate([each[name] for each in questions]) for name in questions[0]}
