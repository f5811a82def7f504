"""The environment of processes that run a model: what their work needs, and no other secret."""

import os

from thrive.packaging.threads import THREAD_SETTINGS
from thrive.variables import ONLINE_STORE, without_secrets


def of_worker() -> dict[str, str]:
    """Return the environment of an HTTP worker: it reads feature views, and no other store."""
    needed = {ONLINE_STORE}
    if os.environ.get(ONLINE_STORE, "").startswith("postgres"):
        needed.add("PGPASSWORD")
    return {**without_secrets(os.environ, frozenset(needed)), **THREAD_SETTINGS}


def of_model() -> dict[str, str]:
    """Return the environment of a process that only computes: a candidate, an explanation."""
    return {**without_secrets(os.environ), **THREAD_SETTINGS}
