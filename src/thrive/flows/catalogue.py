"""The catalogue: every module that declares operations, so that each door can offer them all."""

from collections.abc import Mapping
from importlib import import_module

from thrive.operations import Operation, registered

OPERATION_MODULES: tuple[str, ...] = (
    "thrive.data.operations",
    "thrive.feedback.operations",
    "thrive.flows.act",
    "thrive.flows.controller",
    "thrive.flows.doctor",
    "thrive.flows.follow",
    "thrive.flows.notify",
    "thrive.flows.project",
    "thrive.flows.promote",
    "thrive.flows.records",
    "thrive.flows.replay.operations",
    "thrive.flows.retrain",
    "thrive.flows.status",
    "thrive.flows.teams",
    "thrive.flows.tokens",
    "thrive.flows.train",
    "thrive.flows.worker",
    "thrive.gates.operations",
    "thrive.monitoring.operations",
    "thrive.registry.operations",
    "thrive.release.operations",
    "thrive.server.operations",
    "thrive.serving.operations",
    "thrive.tracking.operations",
    "thrive.ui.operations",
)
"""Dotted names, sorted; a module that declares an operation stands here, held by a test."""


def load_all() -> Mapping[str, Operation]:
    """Import every module of operations and return the registry: operations by name."""
    for module in OPERATION_MODULES:
        import_module(module)
    return registered()
