"""The card of a model: what an auditor reads, each statement with its record."""

from collections.abc import Mapping

import msgspec

from thrive.domain.errors import ThriveError
from thrive.domain.gate import Approval
from thrive.domain.reference import format_reference
from thrive.flows.facts import one_model
from thrive.governance.card import Card, make_card
from thrive.governance.evaluate import DutyState
from thrive.governance.operations import owed
from thrive.governance.records import read_records
from thrive.operations import Context
from thrive.registry.stages import champion
from thrive.store import gates, models
from thrive.ui.forms import asked_version
from thrive.ui.pages.model import ModelHead, head_of


class CardPage(msgspec.Struct, frozen=True, kw_only=True):
    """The card of a version, the duties that nobody answered, and the approvals it has.

    `version` is 0 for a model that has none yet.
    """

    now: int
    tab: str
    name: str
    head: ModelHead
    version: int
    card: Card | None
    why_not: str
    duties: list[DutyState]
    approvals: list[Approval]


def load(ctx: Context, words: Mapping[str, str]) -> CardPage:
    """Return the card of the live version, of the newest without one, or of `version`.

    Raises:
        NotFound: there is no such model or version.
        UsageError: the version is no number.
    """
    name, asked = words["name"], asked_version(words.get("version", ""))
    facts = one_model(ctx, name)
    head = head_of(facts)
    if not facts.versions:
        return _without_version(ctx, name, head)
    with ctx.read() as tx:
        number = asked or champion(facts.history)
        version = models.get_version(tx, ctx.project_id, name, number).version
        given = gates.find_approvals(tx, ctx.project_id, name, version)
    label = format_reference(name, version)
    card, missing, why_not = None, [], ""
    try:
        records = read_records(ctx, label)
        card, missing = make_card(records), owed(records)
    except ThriveError as error:  # its package is gone; the page shows the rest
        why_not = error.what
    return CardPage(
        now=ctx.now(),
        tab="card",
        name=name,
        head=head,
        version=version,
        card=card,
        why_not=why_not,
        duties=missing,
        approvals=given,
    )


def _without_version(ctx: Context, name: str, head: ModelHead) -> CardPage:
    return CardPage(
        now=ctx.now(), tab="card", name=name, head=head, version=0, card=None,
        why_not="No version is registered.", duties=[], approvals=[],
    )  # fmt: skip
