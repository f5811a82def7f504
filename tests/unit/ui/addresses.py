"""An address of every page of a filled home, with what the page needs."""

import re
from collections.abc import Mapping

from tests.unit.ui.filled_home import MODEL, FilledHome

from thrive.ui.routes import PAGES


def ids_of(filled: FilledHome, held: str, other_run: str) -> dict[str, str]:
    """Return what addresses of a filled home need, by name."""
    return {
        "alert": filled.alert_id,
        "document": filled.document,
        "held": held,
        "other": other_run,
        "run": filled.run_id,
        "verdict": filled.verdict_id,
    }


def every_page(ids: Mapping[str, str]) -> list[str]:
    """Return an address of every page.

    Args:
        ids: those of `ids_of`.
    """
    needed = {
        "/act/{act}": f"alerts-decide?alert={ids['alert']}&action=retrain",
        "/alerts/{id}": ids["alert"],
        "/compare": f"?run={ids['run']},{ids['other']}",
        "/documents/{digest}": ids["document"],
        "/documents/{digest}/diff": ids["document"],
        "/gates/{id}": ids["verdict"],
        "/lineage": f"?of=model:{MODEL}@2",
        "/releases/{id}": ids["held"],
        "/runs/{id}": ids["run"],
        "/search": "?q=flight",
    }
    found: list[str] = []
    for page in PAGES:
        own = MODEL if page.path.startswith("/models/") else "flights"
        path = page.path.replace("{name}", own)
        value = needed.get(page.path, "")
        found.append(re.sub(r"\{\w+\}", value, path) if "{" in path else path + value)
    return found
