"""Answers as somebody gets to see them: inputs that hold personal data by grant alone.

An input or a key is personal by its name: that of a column of the data that its version learned
from, as people labelled it.
"""

from collections.abc import Callable, Collection
from typing import Any

from thrive.data.access import log_read, view_of
from thrive.data.closed import closed_columns
from thrive.domain.model import ModelVersion
from thrive.flows.contracts import find_contract
from thrive.operations import Context
from thrive.store import datasets, models
from thrive.store.pseudonym_keys import pseudonym_key
from thrive.store.pseudonyms import pseudonym

Hide = Callable[[str, Any], Any]
"""Returns what is shown in the place of a value, by the name it stands under."""


def hiding_of(ctx: Context, model: str, number: int, names: Collection[str], rows: int = 1) -> Hide:
    """Return how the values of some inputs are shown to whoever asks, and log that they read.

    Args:
        ctx: who asks, and where.
        model: its name.
        number: of the version that answered; below 1 for the fallback.
        names: of the inputs and keys.
        rows: how many answers are read.
    """
    hidden = _hidden(ctx, model, number, names, rows) if number >= 1 else set[str]()
    if not hidden:
        return lambda _, value: value
    key = pseudonym_key(ctx.home, ctx.actor.name)

    def hide(name: str, value: Any) -> Any:
        return pseudonym(str(value), key) if name in hidden and value is not None else value

    return hide


def _hidden(ctx: Context, model: str, number: int, names: Collection[str], rows: int) -> set[str]:
    hidden: set[str] = set()
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, model, number)
        contract = find_contract(tx, ctx.project_id, version)
    said = contract.contract.data if contract else {}
    for name, found in _learned_from(ctx, version).items():
        declared = said[name].personal_kinds if name in said else {}
        with ctx.read() as tx:
            if not set(closed_columns(tx, ctx.project_id, found, declared)) & {*names}:
                continue
            view = view_of(tx, ctx, found, declared).only(list(names))
        log_read(ctx, found, view, rows=rows)
        hidden |= {*view.hidden}
    return hidden


def _learned_from(ctx: Context, version: ModelVersion) -> dict[str, Any]:
    """Return the versions of datasets that a version of a model learned from, as far as known."""
    with ctx.read() as tx:
        found = {
            name: next(
                (
                    each
                    for each in datasets.find_by_digest(tx, ctx.project_id, digest)
                    if each.dataset == name
                ),
                None,
            )
            for name, digest in version.training.items()
        }
    return {name: each for name, each in found.items() if each is not None}
