"""All tables together: what migrations, backups and cleaning go through."""

from thrive.store.tables import (
    data,
    erasures,
    features,
    gates,
    governance,
    holds,
    models,
    monitoring,
    predictions,
    project,
    pseudonyms,
    releases,
    runs,
    schedules,
)
from thrive.store.tables.columns import metadata

__all__ = ["NOUNS", "metadata"]

NOUNS = (
    data,
    erasures,
    features,
    gates,
    governance,
    holds,
    models,
    monitoring,
    predictions,
    project,
    pseudonyms,
    releases,
    runs,
    schedules,
)
"""The modules whose import declares the tables that `metadata` has."""
