"""Thrive brings machine-learning models into production and keeps them healthy there.

The public face: everything a user imports. Names are loaded when first used, so that
`import thrive` costs next to nothing.
"""

from importlib import import_module

from thrive.version import __version__

TYPE_CHECKING = False  # type checkers read it as True; importing typing would cost 20 modules
if TYPE_CHECKING:
    from thrive import data, features
    from thrive.client.remote import RemoteWorkspace, connect
    from thrive.domain.errors import ThriveError
    from thrive.features import feature_view, on_demand
    from thrive.flows.own_run import run
    from thrive.flows.workspace import Workspace, open
    from thrive.training.declare import pipeline, step
    from thrive.training.outputs import Out
    from thrive.training.report import log, register

_HOMES = {
    "Out": "thrive.training.outputs",
    "RemoteWorkspace": "thrive.client.remote",
    "ThriveError": "thrive.domain.errors",
    "Workspace": "thrive.flows.workspace",
    "connect": "thrive.client.remote",
    "feature_view": "thrive.features",
    "log": "thrive.training.report",
    "on_demand": "thrive.features",
    "open": "thrive.flows.workspace",
    "pipeline": "thrive.training.declare",
    "register": "thrive.training.report",
    "run": "thrive.flows.own_run",
    "step": "thrive.training.declare",
}

__all__ = [
    "Out",
    "RemoteWorkspace",
    "ThriveError",
    "Workspace",
    "__version__",
    "connect",
    "data",
    "feature_view",
    "features",
    "log",
    "on_demand",
    "open",
    "pipeline",
    "register",
    "run",
    "step",
]


def __getattr__(name: str) -> object:
    if name in {"data", "features"}:
        return import_module(f"thrive.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'thrive' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
