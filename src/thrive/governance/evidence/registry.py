"""The registry of evidence queries: each is declared once, under the name the law files use."""

from collections.abc import Callable, Iterator

from thrive.governance.facts import Fact
from thrive.governance.records import Records

Query = Callable[[Records], Iterator[Fact]]
QUERIES: dict[str, Query] = {}
"""Every query by its name."""


def query(name: str) -> Callable[[Query], Query]:
    """Register a function as the evidence query `name`."""

    def register(function: Query) -> Query:
        assert name not in QUERIES, f"the evidence {name!r} is declared twice"
        QUERIES[name] = function
        return function

    return register
