"""Stages: derived from which routing tables named a version, never stored."""

from collections.abc import Sequence

from thrive.domain.model import ModelVersion, Stage
from thrive.domain.release import RoutingTable

CHAMPION = "champion"
"""The alias of the version in production: of a released model it follows the traffic."""


def stage_of(version: ModelVersion, history: Sequence[RoutingTable]) -> Stage:
    """Return what a version does at present.

    Args:
        version: the version.
        history: the model's routing tables, newest first (`store.releases.routing_history`).

    Returns:
        production: most live traffic; staging: a smaller share of it, or the shadow; retired:
        retired by a person, or once in production and now in no routing table; else dev.
    """
    if version.retired_at is not None:
        return Stage.RETIRED
    number = version.version
    if history:
        if _production(history[0]) == number:
            return Stage.PRODUCTION
        if any(variant.version == number for variant in history[0].variants):
            return Stage.STAGING
    if any(_production(table) == number for table in history):
        return Stage.RETIRED
    return Stage.DEV


def champion(history: Sequence[RoutingTable]) -> int | None:
    """Return the version in production, None when nothing is live."""
    return _production(history[0]) if history else None


def _production(table: RoutingTable) -> int | None:
    variant = table.production()
    return variant.version if variant else None
