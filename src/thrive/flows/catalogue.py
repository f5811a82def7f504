"""The catalogue: every module that declares operations, so that each door can offer them all.

`commands.json` is the same, written by `scripts/generate_command_table.py`: with it a door knows
all names and imports only the module of the operation that is called.
"""

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from thrive.operations import Operation, find_operation, registered

OPERATION_MODULES: tuple[str, ...] = (
    "thrive.data.cleaning",
    "thrive.data.comparing",
    "thrive.data.confirming",
    "thrive.data.exporting",
    "thrive.data.lineage",
    "thrive.data.moving",
    "thrive.data.operations",
    "thrive.data.refreshing",
    "thrive.data.storing",
    "thrive.data.tagging",
    "thrive.features.operations",
    "thrive.feedback.operations",
    "thrive.flows.act",
    "thrive.flows.answering",
    "thrive.flows.auditing",
    "thrive.flows.backups",
    "thrive.flows.controller",
    "thrive.flows.data_add",
    "thrive.flows.data_show",
    "thrive.flows.data_status",
    "thrive.flows.doctor",
    "thrive.flows.erasure.consent",
    "thrive.flows.erasure.erasing",
    "thrive.flows.erasure.exporting",
    "thrive.flows.erasure.finding",
    "thrive.flows.erasure.records",
    "thrive.flows.expiring",
    "thrive.flows.explaining",
    "thrive.flows.export.operations",
    "thrive.flows.feature_catalog",
    "thrive.flows.feature_check",
    "thrive.flows.features",
    "thrive.flows.follow",
    "thrive.flows.gating",
    "thrive.flows.job_output",
    "thrive.flows.log_retention",
    "thrive.flows.mlflow.exporting",
    "thrive.flows.mlflow.importing",
    "thrive.flows.notify",
    "thrive.flows.openlineage",
    "thrive.flows.outcome_data",
    "thrive.flows.oversight",
    "thrive.flows.personal_data",
    "thrive.flows.plan",
    "thrive.flows.predictions",
    "thrive.flows.project",
    "thrive.flows.promote",
    "thrive.flows.records",
    "thrive.flows.replay.operations",
    "thrive.flows.reproduce",
    "thrive.flows.restricting",
    "thrive.flows.resume",
    "thrive.flows.retrain",
    "thrive.flows.review",
    "thrive.flows.run",
    "thrive.flows.schedules",
    "thrive.flows.score",
    "thrive.flows.sent_run",
    "thrive.flows.shared_runs",
    "thrive.flows.status",
    "thrive.flows.sweeps",
    "thrive.flows.teams",
    "thrive.flows.tokens",
    "thrive.flows.webhooks",
    "thrive.flows.worker",
    "thrive.gates.operations",
    "thrive.governance.operations",
    "thrive.monitoring.attention",
    "thrive.monitoring.merging",
    "thrive.monitoring.operations",
    "thrive.registry.aliases",
    "thrive.registry.lineage",
    "thrive.registry.operations",
    "thrive.registry.removal",
    "thrive.registry.sealing",
    "thrive.release.operations",
    "thrive.release.watching",
    "thrive.server.operations",
    "thrive.serving.deployment",
    "thrive.serving.host_operations",
    "thrive.serving.operations",
    "thrive.serving.serve",
    "thrive.tracking.curation",
    "thrive.tracking.operations",
    "thrive.tracking.views",
    "thrive.tracking.why",
    "thrive.ui.operations",
    "thrive.ui.report",
)
"""Dotted names, sorted; a module that declares an operation stands here, held by a test."""


def load_all() -> Mapping[str, Operation]:
    """Import every module of operations and return the registry: operations by name."""
    for module in OPERATION_MODULES:
        import_module(module)
    return registered()


class Catalogue(Mapping[str, Operation]):
    """All operations by name; the module of one is imported when it is looked up."""

    def __init__(self) -> None:
        table = json.loads(Path(__file__).with_name("commands.json").read_text())
        self._modules: dict[str, str] = {name: entry["module"] for name, entry in table.items()}

    def __getitem__(self, name: str) -> Operation:
        import_module(self._modules[name])
        return find_operation(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
