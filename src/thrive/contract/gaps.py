"""What a contract does not answer yet: each gap with its line, the step it blocks, its cure.

A gap is no error: a project trains and serves in development with many of them. Production is
refused until none is left.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

import msgspec

from thrive.contract.lines import line_of, path_of
from thrive.contract.parse import ParsedContract
from thrive.contract.schema import Contract, DataTerms, ModelTerms, Risk, Sla, Where
from thrive.domain.project import TeamContact

SHORTEST_PURPOSE = 40
"""Fewer characters than this do not say what a model is for, for whom, and when."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One unanswered question of a contract.

    Attributes:
        path: the key that is missing or says too little.
        line: where it stands, or the line of the nearest table that was written, from 1.
        what: what is missing, in one line.
        blocks: the step that is refused because of it.
        fix: what to write.
        owner: who owns the dataset or model it is asked of; empty if nobody does yet.
        keys: the path, key by key.
    """

    path: str
    line: int
    what: str
    blocks: Literal["train", "production"]
    fix: str
    owner: str = ""
    keys: tuple[str, ...] = ()


class _Finding(msgspec.Struct, frozen=True):
    keys: tuple[str, ...]
    what: str
    fix: str
    blocks: Literal["train", "production"] = "production"


def reached_teams(contract: Contract, contacts: Iterable[TeamContact]) -> set[str]:
    """Return the teams at whose present channel a test message arrived."""
    teams = contract.team
    return {
        each.team
        for each in contacts
        if each.team in teams and teams[each.team].channel == each.channel
    }


def gaps(parsed: ParsedContract, reachable: Collection[str] = ()) -> list[Gap]:
    """Return every gap of a contract, in the order of its lines.

    Args:
        parsed: the contract as it was read.
        reachable: the teams at whose channel a test message arrived.
    """
    contract = parsed.contract
    found: list[_Finding] = []
    if not contract.model:
        found.append(_Finding(("model",), "no model is declared.", "add a table [model.NAME]"))
    for name, terms in contract.model.items():
        found.extend(_model_findings(name, terms))
    for name, terms in contract.data.items():
        found.extend(_data_findings(name, terms))
    found.extend(_team_findings(parsed, contract.model, contract.data, reachable))
    return _in_order(parsed, found)


def gaps_for_model(
    parsed: ParsedContract,
    model: str,
    upstream_datasets: Iterable[str],
    reachable: Collection[str] = (),
) -> list[Gap]:
    """Return the gaps that stand between one model and production, in the order of lines.

    Args:
        parsed: the contract as it was read.
        model: the model's name.
        upstream_datasets: every dataset the model's version was made from.
        reachable: the teams at whose channel a test message arrived.
    """
    contract = parsed.contract
    terms = contract.model.get(model)
    if terms is None:
        absent = f"nothing is said about the model {model!r}."
        cure = f"add a table [{path_of('model', model)}]"
        return _in_order(parsed, [_Finding(("model", model), absent, cure)])
    found = list(_model_findings(model, terms))
    upstream = sorted(set(upstream_datasets))
    for name in upstream:
        if name in contract.data:
            found.extend(_data_findings(name, contract.data[name]))
        else:
            absent = f"nothing is said about the dataset {name!r}, which {model!r} is made from."
            cure = f"add a table [{path_of('data', name)}]"
            found.append(_Finding(("data", name), absent, cure))
    datasets = {name: contract.data[name] for name in upstream if name in contract.data}
    found.extend(_team_findings(parsed, {model: terms}, datasets, reachable))
    return _in_order(parsed, found)


def _in_order(parsed: ParsedContract, found: Iterable[_Finding]) -> list[Gap]:
    every = [
        Gap(
            path=path_of(*finding.keys),
            line=line_of(parsed.lines, *finding.keys),
            what=finding.what,
            blocks=finding.blocks,
            fix=finding.fix,
            owner=_owner(parsed.contract, *finding.keys),
            keys=finding.keys,
        )
        for finding in found
    ]
    return sorted(every, key=lambda gap: gap.line)


def _owner(contract: Contract, kind: str, name: str = "", *_more: str) -> str:
    tables = {"data": contract.data, "model": contract.model}
    found = tables.get(kind, {}).get(name)
    return found.owner if found is not None else ""


def refusal(filename: str, line: int, what: str, owner: str, more: int = 0) -> str:
    """Return the words of a refusal: the line, what is wrong, who owes it, how much more there is.

    Args:
        filename: of the contract.
        line: where it is to be mended, from 1.
        what: what is wrong, one sentence.
        owner: who owes it, empty for nobody.
        more: how many more reasons there are.
    """
    owed = [f"owed by {owner}"] if owner else []
    rest = [f"{more} more: `thrive check`"] if more else []
    said = f" ({'; '.join(owed + rest)})" if owed or rest else ""
    return f"{filename}:{line}: {what.removesuffix('.')}{said}."


def _missing(
    kind: str, name: str, key: str, example: str, *, blocks: Literal["train", "production"]
) -> _Finding:
    cure = f"write {key} = {example} in [{path_of(kind, name)}]"
    return _Finding((kind, name, key), f"{kind} {name!r} has no {key}.", cure, blocks)


def _model_findings(name: str, terms: ModelTerms) -> Iterator[_Finding]:
    at = ("model", name)
    if not terms.target.column:
        yield _missing("model", name, "target", '{ column = "late" }', blocks="train")
    if not terms.owner:
        yield _missing("model", name, "owner", '"your-team"', blocks="production")
    yield from _purpose_findings(name, terms.purpose)
    if not any(user.strip() for user in terms.users):
        yield _missing("model", name, "users", '["who reads the answers"]', blocks="production")
    if terms.where is None:
        choices = " | ".join(where.value for where in Where)
        yield _missing("model", name, "where", f'"http"  # {choices}', blocks="production")
    unsaid = _unsaid_promises(terms.sla, terms.where)
    if unsaid:
        what = f"model {name!r} has an sla without {', '.join(unsaid)}."
        example = ", ".join(f"{key} = {_SLA_EXAMPLES[key]}" for key in unsaid)
        yield _Finding((*at, "sla"), what, f"write sla = {{ {example} }} (with what is there)")
    if terms.risk is Risk.UNDECIDED:
        what = f"model {name!r} has no risk class: it is undecided."
        yield _Finding((*at, "risk"), what, 'write risk = "high", "limited" or "minimal"')
    yield from _approver_findings(name, terms)
    if terms.risk is Risk.PROHIBITED:
        what = f"model {name!r} is a prohibited use: there is no road to production."
        yield _Finding((*at, "risk"), what, "change what the model is for, or retire it")


def _approver_findings(name: str, terms: ModelTerms) -> Iterator[_Finding]:
    if not terms.approvers:
        return
    named = {*terms.approvers, terms.business_owner} - {""}
    for stage, count in terms.approvals.items():
        if count > len(named):
            what = f"model {name!r} asks {count} approvals of {len(named)} people ({stage})."
            cure = f'write approvers = ["...", ...] with {count} names'
            yield _Finding(("model", name, "approvers"), what, cure)


_SLA_EXAMPLES = {
    "p99_ms": "25",
    "availability": "99.9",
    "max_age": '"90 days"',
    "outcomes_within": '"1 day"',
}


def _unsaid_promises(sla: Sla, where: Where | None) -> list[str]:
    """Return the promises that are missing; a batch has no latency per request to promise."""
    unneeded = {"p99_ms", "availability"} if where is Where.BATCH else set[str]()
    said = msgspec.structs.asdict(sla)
    return [key for key in _SLA_EXAMPLES if not said[key] and key not in unneeded]


def _purpose_findings(name: str, purpose: str) -> Iterator[_Finding]:
    words = purpose.strip()
    example = f'"{name}: tell WHOM, WHEN, WHAT, so that they can DO what"'
    if not words:
        yield _missing("model", name, "purpose", example, blocks="production")
        return
    if words.casefold() == name.casefold():
        what = f"the purpose of model {name!r} only repeats its name."
    elif len(words) < SHORTEST_PURPOSE:
        what = f"the purpose of model {name!r} says too little: {words!r}."
    else:
        return
    yield _Finding(("model", name, "purpose"), what, f"write purpose = {example}")


_DATA_QUESTIONS: tuple[tuple[str, str], ...] = (
    ("owner", '"your-team"'),
    ("why", '"what it holds, and what it is kept for"'),
    ("personal", '{ some_column = "none" }'),
    ("legal_basis", '"none needed: no personal data"'),
    ("licence", '"CC0-1.0"'),
    ("retention", '"5 years"'),
)


_BASIS_OF_PERSONAL = '"contract with the person (GDPR art. 6(1)(b))"'


def _data_findings(name: str, terms: DataTerms) -> Iterator[_Finding]:
    made_by_steps = terms.owner.strip() and terms.why.strip()  # such a dataset has no source
    if not terms.source.strip() and not made_by_steps:
        yield _missing("data", name, "source", '"data/*.parquet"', blocks="train")
    said = msgspec.structs.asdict(terms)
    personal = any(kind != "none" for kind in terms.personal_kinds.values())
    for key, harmless in _DATA_QUESTIONS:
        example = _BASIS_OF_PERSONAL if personal and key == "legal_basis" else harmless
        value = said[key]
        if not (value.strip() if isinstance(value, str) else value):
            yield _missing("data", name, key, example, blocks="production")
        elif personal and key == "legal_basis" and not terms.has_basis:
            what = f"data {name!r} holds personal data, and its legal basis is {value!r}."
            cure = f"write legal_basis = {example} in [{path_of('data', name)}]"
            yield _Finding(("data", name, key), what, cure)


def _team_findings(
    parsed: ParsedContract,
    models: dict[str, ModelTerms],
    datasets: dict[str, DataTerms],
    reachable: Collection[str],
) -> Iterator[_Finding]:
    """Yield one finding for each named team that is unknown or out of reach."""
    judged: set[str] = set()
    for keys, team in _named_teams(models, datasets):
        if not team or team in judged:
            continue
        judged.add(team)
        table = path_of("team", team)
        terms = parsed.contract.team.get(team)
        if terms is None:
            what = f"{path_of(*keys)} names the team {team!r}, which is not declared."
            cure = f'add [{table}] with channel = "mailto:..." or "https://..."'
            yield _Finding(keys, what, cure)
        elif not terms.channel:
            yield _missing("team", team, "channel", '"mailto:..."', blocks="production")
        elif team not in reachable:
            what = f"team {team!r} has not answered a test message at its channel."
            yield _Finding(("team", team, "channel"), what, f"thrive teams test {team}")


def _named_teams(
    models: dict[str, ModelTerms], datasets: dict[str, DataTerms]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, terms in models.items():
        yield ("model", name, "owner"), terms.owner
        yield ("model", name, "deputy"), terms.deputy
        for cause, action in terms.actions.items():
            yield ("model", name, "actions", cause.value, "decide"), action.decide
    for name, terms in datasets.items():
        yield ("data", name, "owner"), terms.owner
