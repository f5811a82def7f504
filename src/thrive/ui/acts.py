"""What people do from pages: each act is an operation, asked once more before it is done.

A button leads to a page that says what will happen, asks for the reason, and has one button of
its own: so every act works without JavaScript, by keyboard, and never by a mere link. The page
remembers what it saw; if somebody moved it meanwhile, the act is refused. Permissions are those
of the operation: pages hide what a role may not do, and the operation refuses it.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import cache
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from thrive.domain.actor import Actor
from thrive.domain.errors import Conflict, NotFound, UsageError
from thrive.domain.monitoring import AlertState
from thrive.flows.act import objection
from thrive.flows.catalogue import Catalogue
from thrive.flows.traffic import against_rollback
from thrive.operations import Context, Operation, Parameter, convert_arguments, invoke
from thrive.store import monitoring
from thrive.store.database import Tx
from thrive.ui import seen
from thrive.ui.forms import local_target
from thrive.ui.seen import Given
from thrive.ui.words import quoted

Seen = Callable[[Tx, str, Given], Any]
"""Returns what an act is about, as it stands now."""
Warns = Callable[[Tx, Context, Given], str]
"""Returns what speaks against an act, "" where nothing does."""
UNSPENT = frozenset({"act", "back", "seen", "form"})
"""Words of the form that are no arguments."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One operation that pages offer.

    Attributes:
        operation: its name.
        title: what is done, as a heading.
        button: what the button says.
        meaning: what will happen, in a sentence.
        done: what is said once it is done.
        back: where to go on, with the arguments filled in.
        seen: what it is about, as it stands.
        warns: what speaks against it; whoever does it all the same says yes to that.
        careful: it takes something away.
        ask: optional parameters that are asked for.
    """

    operation: str
    title: str
    button: str
    meaning: str
    done: str
    back: str
    seen: Seen
    warns: Warns | None = None
    careful: bool = False
    ask: tuple[str, ...] = ("reason",)

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return self.operation.replace(" ", "-")


def _against_advice(tx: Tx, ctx: Context, given: Given) -> str:
    alert = monitoring.get_alert(tx, ctx.project_id, given.get("alert", ""))
    return objection(alert, given.get("action", "")) if alert.state is AlertState.OPEN else ""


def _against_rollback(tx: Tx, ctx: Context, given: Given) -> str:
    return against_rollback(tx, ctx, given.get("model", ""))


ACTS: tuple[Act, ...] = (
    Act(
        operation="alerts decide",
        title="Decide about an alert",
        button="Decide",
        meaning="The decision is recorded under your name and carried out at once.",
        done="The decision is recorded.",
        back="/alerts/{alert}",
        seen=seen.alert,
        warns=_against_advice,
    ),
    Act(
        operation="alerts mute",
        title="Mute an alert",
        button="Mute",
        meaning="Nobody is paged for it until then; it stays in sight.",
        done="The alert is muted.",
        back="/alerts/{alert}",
        seen=seen.alert,
        ask=("until", "reason"),
    ),
    Act(
        operation="alerts acknowledge",
        title="Take an alert",
        button="I take it",
        meaning="Others see that you are at it; its deadline stays.",
        done="The alert is yours.",
        back="/alerts/{alert}",
        seen=seen.alert,
    ),
    Act(
        operation="approvals give",
        title="Approve a version",
        button="Approve",
        meaning="Your consent is recorded; with enough of them a releaser may start its release.",
        done="The approval is recorded.",
        back="/models/{name}/versions",
        seen=seen.model,
        ask=("reason", "step"),
    ),
    Act(
        operation="releases start",
        title="Start a release",
        button="Start",
        meaning="The version sets out on the phases of its contract; gates and approvals are "
        "checked first.",
        done="The release has begun.",
        back="/models/{name}/release",
        seen=seen.model,
    ),
    Act(
        operation="releases promote",
        title="Take a release to its next phase",
        button="Promote",
        meaning="The candidate gets the traffic of its next phase now, whatever its evidence says.",
        done="The release went on.",
        back="/models/{name}/release",
        seen=seen.model,
    ),
    Act(
        operation="releases hold",
        title="Hold a release",
        button="Hold",
        meaning="It stays in its phase until somebody decides; its guards go on watching.",
        done="The release is held.",
        back="/models/{name}/release",
        seen=seen.model,
    ),
    Act(
        operation="releases resume",
        title="Resume a release",
        button="Resume",
        meaning="Its present phase begins again.",
        done="The release goes on.",
        back="/models/{name}/release",
        seen=seen.model,
    ),
    Act(
        operation="releases rollback",
        title="Roll back",
        button="Roll back",
        meaning=(
            "The version that served before gets all the traffic, at once; "
            "if none did, the contract's fallback answers."
        ),
        done="The traffic was moved back.",
        back="/models/{name}/release",
        seen=seen.model,
        warns=_against_rollback,
        careful=True,
    ),
    Act(
        operation="releases stop",
        title="Stop a model",
        button="Stop",
        meaning="The contract's fallback answers, at once; a release on its way ends.",
        done="The model is stopped.",
        back="/models/{name}/release",
        seen=seen.model,
        careful=True,
    ),
    Act(
        operation="models retire",
        title="Retire a version",
        button="Retire",
        meaning="It can still be read, and is never released again.",
        done="The version is retired.",
        back="/models/{name}/versions",
        seen=seen.model,
        careful=True,
    ),
    Act(
        operation="data decide",
        title="Decide about a version of data",
        button="Decide",
        meaning="Runs may train on it, or not, whatever its checks said.",
        done="The decision is recorded.",
        back="/data/{dataset}",
        seen=seen.data,
    ),
    Act(
        operation="runs tag",
        title="Tag a run",
        button="Save",
        meaning="The tag is set; an empty value takes it away.",
        done="The tag is saved.",
        back="/runs/{run}",
        seen=seen.run,
        ask=("value",),
    ),
    Act(
        operation="runs note",
        title="Edit the notes of a run",
        button="Save",
        meaning="What is known of the run, for those who read it later.",
        done="The notes are saved.",
        back="/runs/{run}",
        seen=seen.run,
        ask=("text",),
    ),
    Act(
        operation="runs delete",
        title="Delete a run",
        button="Delete",
        meaning="It leaves lists and comparisons, and can be restored.",
        done="The run is deleted.",
        back="/runs/{run}",
        seen=seen.run,
        careful=True,
    ),
    Act(
        operation="runs restore",
        title="Restore a run",
        button="Restore",
        meaning="It is in lists and comparisons again.",
        done="The run is back.",
        back="/runs/{run}",
        seen=seen.run,
    ),
    Act(
        operation="exceptions grant",
        title="Except a model from a duty",
        button="Except it",
        meaning="It may pass without the duty for that long; it shows wherever the duty does.",
        done="The exception holds.",
        back="/models/{name}/duties",
        seen=seen.nothing,
        careful=True,
    ),
    Act(
        operation="exceptions revoke",
        title="Revoke an exception",
        button="Revoke",
        meaning="From now on the duty is owed again.",
        done="The exception is over.",
        back="/governance",
        seen=seen.exception,
        careful=True,
    ),
    Act(
        operation="documents render",
        title="Render a document",
        button="Render",
        meaning="It is folded from the records as they stand, and kept; what nobody recorded is "
        "shown as missing.",
        done="The document is kept.",
        back="/models/{name}/duties",
        seen=seen.nothing,
        ask=(),
    ),
    Act(
        operation="incidents open",
        title="Open an incident",
        button="Open it",
        meaning="Its clock runs from now, its evidence is gathered, and nothing of the project is "
        "deleted until it is reported.",
        done="The incident is open.",
        back="/models/{name}/duties",
        seen=seen.nothing,
        careful=True,
        ask=("what", "kind"),
    ),
    Act(
        operation="incidents report",
        title="Report an incident",
        button="It was reported",
        meaning="The report is recorded, and the hold that the incident placed is lifted.",
        done="The report is recorded.",
        back="/governance",
        seen=seen.incident,
    ),
    Act(
        operation="holds place",
        title="Forbid deletion",
        button="Forbid it",
        meaning="Nothing of it is deleted by anybody until the hold is lifted.",
        done="Deletion is forbidden.",
        back="/governance",
        seen=seen.nothing,
        careful=True,
    ),
    Act(
        operation="holds lift",
        title="Lift a hold",
        button="Lift",
        meaning="It may be deleted again.",
        done="The hold is lifted.",
        back="/governance",
        seen=seen.hold,
        careful=True,
    ),
    Act(
        operation="views save",
        title="Save this view",
        button="Save",
        meaning="It is found under its name by everybody in the project.",
        done="The view is saved.",
        back="/{page}",
        seen=seen.nothing,
        ask=("name",),
    ),
    Act(
        operation="views remove",
        title="Remove a saved view",
        button="Remove",
        meaning="Its name goes; what it showed stays.",
        done="The view is removed.",
        back="/runs",
        seen=seen.view,
        careful=True,
    ),
    Act(
        operation="jobs cancel",
        title="Cancel a job",
        button="Cancel it",
        meaning="Its worker stops at its next report.",
        done="The job is cancelled.",
        back="/admin",
        seen=seen.job,
        careful=True,
    ),
    Act(
        operation="tokens revoke",
        title="Revoke a token",
        button="Revoke",
        meaning="Whoever holds it is refused from now on.",
        done="The token is revoked.",
        back="/admin",
        seen=seen.token,
        careful=True,
    ),
)
"""Every act that pages offer; an operation that this version of Thrive does not have is none."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to fill in: `kind` is text, long, choice or yes."""

    name: str
    kind: str
    required: bool
    options: list[str]
    value: str


class ActPage(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to be done.

    Attributes:
        warning: what speaks against it, "" where nothing does.
        given: the arguments that the button brought, by name.
        fields: what is still to be filled in.
        seen: stands for what the page saw; sent back with the form.
        back: where to go without doing it.
        command: the same from a terminal.
    """

    now: int
    act: str
    operation: str
    title: str
    button: str
    meaning: str
    warning: str
    careful: bool
    allowed: bool
    given: dict[str, str]
    fields: list[Field]
    seen: str
    back: str
    command: str


@cache
def acts() -> dict[str, tuple[Act, Operation]]:
    """Return the acts by the name they have in addresses."""
    known = Catalogue()
    return {act.slug: (act, known[act.operation]) for act in ACTS if act.operation in known}


@cache
def permitted(roles: frozenset[str]) -> frozenset[str]:
    """Return the operations among the acts that one of some roles may call."""
    return frozenset(operation.name for _, operation in acts().values() if operation.role & roles)


def address(operation: str, /, **given: object) -> str:
    """Return the address of the page that asks once more before an operation is done."""
    return f"/act/{operation.replace(' ', '-')}?{urlencode(given)}"


def load(ctx: Context, words: Given) -> ActPage:
    """Return the page that asks once more.

    Raises:
        NotFound: there is no such act, or nothing of that name.
        UsageError: an argument is unknown to the operation.
    """
    act, operation = _known(words)
    given = {name: value for name, value in words.items() if name not in UNSPENT}
    parameters = {each.name: each for each in operation.parameters}
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        raise UsageError(f"`{operation.name}` knows no {unknown[0][:40]!r}.", "go back")
    fields = [
        _field(each, "")
        for each in operation.parameters
        if each.name not in given and (each.required or each.name in act.ask)
    ]
    with ctx.read() as tx:
        warning = act.warns(tx, ctx, given) if act.warns is not None else ""
    return ActPage(
        now=ctx.now(),
        act=act.slug,
        operation=operation.name,
        title=act.title,
        button=act.button,
        meaning=act.meaning,
        warning=warning,
        careful=act.careful or bool(warning),
        allowed=may(ctx.actor, operation.name),
        given=given,
        fields=fields,
        seen=_fingerprint(ctx, act, given),
        back=_way_back(act, words, given),
        command=_command(operation, {**given, **({"yes": "true"} if warning else {})}, fields),
    )


def perform(ctx: Context, words: Given) -> str:
    """Do what a form asks for, and return where to go on.

    Raises:
        Conflict: it is not any more as the page saw it.
        Refused: the actor may not.
        UsageError: something is missing or wrong.
    """
    act, operation = _known(words)
    given = {name: value for name, value in words.items() if name not in UNSPENT and value}
    arguments = convert_arguments(operation, given)
    if words.get("seen") != _fingerprint(ctx, act, given):
        raise Conflict("Somebody moved this first: it is not as you saw it.", back_of(act, given))
    invoke(operation, ctx, arguments)
    return _way_back(act, words, given)


def may(actor: Actor, operation: str) -> bool:
    """Tell whether one of an actor's roles may call an operation of the acts."""
    return operation in permitted(actor.roles)


def _way_back(act: Act, words: Given, given: Given) -> str:
    """Return where to go on: a page of this server, whatever an address asks for."""
    return local_target(words.get("back") or back_of(act, given))


def back_of(act: Act, given: Given) -> str:
    """Return the page that an act belongs to."""
    name = (given.get("model") or given.get("version") or "").partition("@")[0]
    dataset = given.get("name", "").partition("@")[0]
    words = {"alert": "", "run": "", **given, "name": name, "dataset": dataset}
    return act.back.format_map({word: quote(value) for word, value in words.items()})


def said(slug: str) -> str:
    """Return what is said once an act is done, "" for no act."""
    found = acts().get(slug)
    return found[0].done if found else ""


def _known(words: Given) -> tuple[Act, Operation]:
    found = acts().get(words.get("act", ""))
    if found is None:
        raise NotFound(f"There is no act {words.get('act', '')[:40]!r}.", "/")
    return found


def _fingerprint(ctx: Context, act: Act, given: Given) -> str:
    with ctx.read() as tx:
        found = act.seen(tx, ctx.project_id, given)
    return blake2b(msgspec.json.encode(found, order="sorted"), digest_size=12).hexdigest()


def _field(parameter: Parameter, value: str) -> Field:
    options: list[str] = []
    kind = "long" if parameter.name in {"reason", "note", "text", "what", "cause"} else "text"
    if parameter.annotation is bool:
        kind, options = "choice", ["yes", "no"]
    elif isinstance(parameter.annotation, type) and issubclass(parameter.annotation, StrEnum):
        kind, options = "choice", [each.value for each in parameter.annotation]
    default = parameter.default
    chosen = value or (str(default) if isinstance(default, StrEnum | str) else "")
    needed = parameter.required or parameter.name == "reason"
    return Field(name=parameter.name, kind=kind, required=needed, options=options, value=chosen)


def _command(operation: Operation, given: Given, fields: list[Field]) -> str:
    """Return what to type for the same."""
    asked = {each.name: '"..."' for each in fields if each.required}
    line = ["thrive", operation.name]
    for parameter in operation.parameters:
        value = quoted(given[parameter.name]) if parameter.name in given else None
        value = value or asked.get(parameter.name)
        if value is None:
            continue
        option = f"--{parameter.name.rstrip('_').replace('_', '-')}"
        if parameter.annotation is bool:
            line.append(option)
        elif parameter.positional:
            line.append(value)
        else:
            line += [option, value]
    return " ".join(line)
