"""A project's first hour: begin it, and say what its contract still lacks for each step."""

import re
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.contract.gaps import Gap, gaps, reached_teams, refusal
from thrive.contract.lines import line_of, path_of
from thrive.contract.parse import CONTRACT_FILE, ParsedContract, load, parse
from thrive.contract.schema import QualityGate
from thrive.contract.template import new_contract
from thrive.domain.actor import ANYONE, AUTHORS, PEOPLE
from thrive.domain.clock import ClockMode, ClockState, parse_time
from thrive.domain.errors import Conflict, ContractGap, NotFound, UsageError
from thrive.domain.identifiers import NAME_PATTERN
from thrive.flows.ci_files import write_ci_files
from thrive.flows.data_use import present_problems
from thrive.operations import Context, Kind, operation
from thrive.store import column_labels, models, projects
from thrive.store.home import connect_home, create_home
from thrive.store.place import FOLDER
from thrive.store.uploads import read_sent

if TYPE_CHECKING:
    from thrive.governance.evaluate import DutyState

DATA_PATTERNS = ("*.parquet", "*.csv", "*.csv.gz", "*.tsv", "*.zip", "*.jsonl")


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A project that was begun: its name, its folder, what it goes without and what looks wrong."""

    project: str
    folder: str
    contract: str
    without: str = ""
    note: str = ""
    files: list[str] = []


@operation(
    "init",
    kind=Kind.CLIENT,
    role=PEOPLE,
    writes=True,
    next_hint="thrive check",
)
def init(
    ctx: Context,
    folder: Path = Path(),
    *,
    name: str = "",
    source: str = "",
    owner: str = "",
    purpose: str = "",
    target: str = "",
    clock: ClockMode = ClockMode.REAL,
    now: str = "",
    database: str = "",
    objects: str = "",
    ci: bool = False,
) -> Begun:
    """Begin a project: write its six-line thrive.toml and create its home.

    A folder that has a thrive.toml already (a fresh clone) keeps it and gets a home alone. With
    --database and --objects the home is the team's: the project is created there, or joined.

    Args:
        folder: the project's folder; made if missing.
        name: the project's name; the folder's name if not given.
        source: where the data is; the only data file in the folder or in data/ if not given.
        owner: the team that answers for the model; your user name if not given.
        purpose: what the model is for: tell whom, when, what.
        target: the column to predict.
        clock: real, or replay for a project made to replay recorded traffic.
        now: the moment a replay clock starts at, e.g. 2013-05-01.
        database: the team's database, postgresql://user@host/database; its password in PGPASSWORD.
        objects: where the team's files are, s3://bucket/prefix; its keys in AWS_* variables.
        ci: write files for GitHub Actions and GitLab that train and judge, as well; a project that
            is there already gets these alone.

    Raises:
        Conflict: the folder is a project already.
        UsageError: a replay clock needs the moment it starts at, and a real one takes none; a
            database and a place for files go together.

    Examples:
        thrive init
        thrive init flights --source "data/*.parquet" --target late
        thrive init --clock replay --now 2013-05-01
        thrive init --ci
        thrive init --database postgresql://thrive@db/ml --objects s3://ml/thrive
    """
    state = _clock_state(clock, now)
    if bool(database) != bool(objects):
        raise UsageError(
            "A team's database and the place of its files go together.",
            "thrive init --database postgresql://... --objects s3://...",
        )
    place = _place_of(ctx, folder)
    contract = place / CONTRACT_FILE
    if contract.exists() and (place / FOLDER).exists():
        if ci:
            return _with_ci(place)
        raise Conflict(f"{place} is a project already.", _instead(ctx, place))
    if contract.exists() and any((name, source, owner, purpose, target)):
        raise Conflict(f"{contract} is written already.", "edit it, or write `thrive init` alone")
    note = ""
    if not contract.exists():
        called = name or _name_of(place)
        found = source or _data_in(place)
        text = new_contract(
            called, found, owner=owner or ctx.actor.name, purpose=purpose, target=target
        )
        place.mkdir(parents=True, exist_ok=True)
        _write_new(contract, text)
        note = _doubt(place, found, target)
    begun = _with_home(ctx, place, state, database, objects)
    begun = msgspec.structs.replace(begun, note=note)
    return msgspec.structs.replace(begun, files=write_ci_files(place)) if ci else begun


def _place_of(ctx: Context, folder: Path) -> Path:
    """Return the folder to begin in: the one that is named, else the one somebody stands in.

    A project further up is no hindrance, unless it is that of the same git work tree: below its
    root `init` alone means the project that is there.
    """
    here = (ctx.asked_in or ctx.local_folder()).resolve()
    if folder != Path():
        return (here / folder).resolve()
    root = next((each for each in (here, *here.parents) if (each / ".git").exists()), here)
    return here if (here / CONTRACT_FILE).exists() or not (root / CONTRACT_FILE).exists() else root


def _instead(ctx: Context, place: Path) -> str:
    """Return what to type instead of an `init` of a project that is there."""
    here = (ctx.asked_in or place).resolve()
    if place in here.parents:
        return f"thrive status, or for another project in this folder: thrive init {here}"
    return "thrive status"


def _with_ci(place: Path) -> Begun:
    name = load(place).contract.project.name or _name_of(place)
    files = write_ci_files(place)
    return Begun(project=name, folder=str(place), contract=CONTRACT_FILE, files=files)


def _clock_state(mode: ClockMode, now: str) -> ClockState:
    if (mode is ClockMode.REPLAY) != bool(now):
        raise UsageError(
            "A replay clock and the moment it starts at go together.",
            "thrive init --clock replay --now 2013-05-01",
        )
    return ClockState(mode=mode, replay_now=parse_time(now) if now else 0)


def _with_home(ctx: Context, place: Path, clock: ClockState, database: str, objects: str) -> Begun:
    project = load(place).contract.project.name or _name_of(place)
    if database:
        home = connect_home(database, objects, project, place / FOLDER, create=True, clock=clock)
    else:
        home = create_home(place, project, clock)
    try:
        with Context(home, ctx.actor, operation=ctx.operation).write(
            f"project:{project}", clock=clock.mode.value
        ):
            pass
    finally:
        home.close()
    return Begun(
        project=project,
        folder=str(place),
        contract=CONTRACT_FILE,
        without="" if in_git(place) else "no git here: runs record code without a commit",
    )


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Conflict(f"{path} was written by somebody else just now.", "thrive init") from None


def _name_of(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.name.lower()).strip("-._")[:64].strip("-._")
    return name if NAME_PATTERN.fullmatch(name) else "project"


def _doubt(folder: Path, source: str, target: str) -> str:
    """Return what looks wrong with the data of a new contract: which it is, or its target."""
    if not source:
        found = _data_files(folder)
        files = f"{len(found)} data files are here ({', '.join(found[:3])})"
        return f"{files}: write which in thrive.toml, a glob for all" if found else ""
    import difflib  # where nobody names a target, nobody pays for these

    from thrive.store.snapshots.tables import HEADER_BYTES, separator_in

    path = folder / source
    if not target or path.suffix.lower() not in (".csv", ".tsv") or not path.is_file():
        return ""
    with path.open("rb") as file:
        header = file.readline(HEADER_BYTES)
    line = header.decode("utf-8-sig", "replace").strip()
    columns = [each.strip(' "') for each in line.split(separator_in(header))]
    if target in columns:
        return ""
    near = difflib.get_close_matches(target, columns, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ", unless your pipeline makes it"
    return f"{source} has no column {target!r}{guess}"


def _data_in(folder: Path) -> str:
    """Return the one data file in a folder or in its `data/`; empty for none or several."""
    found = _data_files(folder)
    return found[0] if len(found) == 1 else ""


def _data_files(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for place in (folder, folder / "data")
        for pattern in DATA_PATTERNS
        for path in sorted(place.glob(pattern))
    ]


def in_git(folder: Path) -> bool:
    """Tell whether a folder is inside a git work tree."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return False
    return answer.stdout.strip() == b"true"


class Step(StrEnum):
    """A step that a gap in the contract blocks."""

    TRAIN = "train"
    PRODUCTION = "production"


class GapLine(msgspec.Struct, frozen=True, kw_only=True):
    """One gap as a line: where, what is missing, which step it blocks, what to write."""

    where: str
    blocks: str
    what: str
    fix: str


@operation("check", kind=Kind.CLIENT, role=ANYONE)
def check(ctx: Context, *, for_: Step | None = None) -> list[GapLine]:
    """Explain each gap of thrive.toml in one line, with the step it blocks.

    Gaps are no error while you develop; with `--for production` any gap is refused. The duties
    that will block a release of a model's newest version stand here too, with their law.

    Args:
        for_: fail unless nothing stands between the contract and this step.

    Raises:
        ContractError: thrive.toml cannot be read; the message names the line.
        ContractGap: `--for` was given and an answer is missing.

    Examples:
        thrive check
        thrive check --for production
    """
    return _checked(ctx, load(ctx.local_folder()), for_)


@operation("contracts check", role=AUTHORS)
def contracts_check(ctx: Context, contract: str, *, for_: Step | None = None) -> list[GapLine]:
    """Explain each gap of a contract that was sent by digest: `check` from afar.

    Args:
        contract: the digest of its text.
        for_: fail unless nothing stands between the contract and this step.

    Raises:
        NotFound: it was not sent, or a day has passed since.
        ContractError: it cannot be read; the message names the line.
        ContractGap: `for_` was given and an answer is missing.

    Examples:
        thrive contracts check DIGEST --for production
    """
    text = read_sent(ctx.home, contract)
    return _checked(ctx, parse(text.decode("utf-8", "replace")), for_)


def _checked(ctx: Context, parsed: ParsedContract, for_: Step | None) -> list[GapLine]:
    said = [_as_confirmed(ctx, gap) for gap in gaps(parsed, _reachable(ctx, parsed))]
    every = [*said, *_data_gaps(ctx, parsed)]
    found = sorted([*every, *_metric_gaps(ctx, parsed)], key=lambda gap: gap.line)
    owed = _owed(ctx, parsed, {gap.fix for gap in found})
    blocking = [gap for gap in found if for_ is Step.PRODUCTION or gap.blocks == for_]
    refused = [refusal(parsed.filename, gap.line, gap.what, gap.owner) for gap in blocking]
    fixes = [gap.fix for gap in blocking]
    if for_ is Step.PRODUCTION:
        refused += [each.line for each in owed]
        fixes += [each.fix for each in owed]
    if for_ is not None and refused:
        raise ContractGap(_summed_up(refused, for_), fixes[0])
    return [_line(parsed, gap) for gap in found] + [_duty_line(each) for each in owed]


def _owed(ctx: Context, parsed: ParsedContract, told: set[str]) -> "list[DutyState]":
    """Return the duties that will block the release of what was registered last of each model.

    They are judged by this contract, not by the one that a version was registered under.

    Args:
        ctx: who asks, and where.
        parsed: the contract.
        told: cures of gaps, which are not told again.
    """
    try:
        with ctx.read() as tx:
            registered = {one.name for one in models.find(tx, ctx.project_id)}
    except NotFound:  # there is no home yet
        return []
    found: dict[tuple[str, str], DutyState] = {}
    for model in sorted(registered & set(parsed.contract.model)):
        states = _blocking(ctx, parsed, model)
        found |= {(each.id, each.fix): each for each in states if each.fix not in told}
    return list(found.values())


def _blocking(ctx: Context, parsed: ParsedContract, model: str) -> "list[DutyState]":
    from thrive.governance.evaluate import blocking_ahead  # the first `check` of a project is quick
    from thrive.governance.records import collect

    try:
        with ctx.read() as tx:
            newest = models.get_version(tx, ctx.project_id, model)
            records = collect(tx, ctx, model, newest.version)
    except NotFound:  # its versions were deleted
        return []
    return blocking_ahead(msgspec.structs.replace(records, parsed=parsed))


def _as_confirmed(ctx: Context, gap: Gap) -> Gap:
    """Return a gap of `personal` with what people confirmed of the columns as the line to write."""
    if gap.keys[:1] != ("data",) or gap.keys[2:] != ("personal",):
        return gap
    name = gap.keys[1]
    try:
        with ctx.read() as tx:
            labels = column_labels.find_labels(tx, ctx.project_id, name)
    except NotFound:  # there is no home yet
        return gap
    if not labels:
        return gap
    kinds = {each.name: each.kind for each in labels}
    said = ", ".join(f'{path_of(column)} = "{kind}"' for column, kind in kinds.items())
    cure = f"write personal = {{ {said} }} in [{path_of('data', name)}]"
    return msgspec.structs.replace(gap, fix=cure)


def _data_gaps(ctx: Context, parsed: ParsedContract) -> list[Gap]:
    """Return what the newest data asks of the contract; nothing while there is no home."""
    try:
        found = present_problems(ctx, parsed)
    except NotFound:
        return []
    return [
        Gap(
            path=path_of("data", each.dataset),
            line=each.line,
            what=each.what,
            blocks="train",
            fix=each.fix,
            owner=each.owner,
        )
        for each in found
    ]


def _metric_gaps(ctx: Context, parsed: ParsedContract) -> list[Gap]:
    """Return the metrics that nothing brings on this machine; a server may have other packages."""
    named = {name: terms.gates.quality.metric for name, terms in parsed.contract.model.items()}
    named = {name: metric for name, metric in named.items() if metric != QualityGate().metric}
    if ctx.folder is None or not named:
        return []
    from thrive.gates.metric import known_metrics

    known = known_metrics()
    return [
        Gap(
            path=path_of(*keys),
            line=line_of(parsed.lines, *keys),
            what=f"model {name!r} is to be judged by {metric!r}, which is no metric.",
            blocks="production",
            fix=f"write one of: {', '.join(known)}; or install the package that brings it",
            owner=parsed.contract.model[name].owner,
        )
        for name, metric in named.items()
        if metric not in known
        for keys in [("model", name, "gates", "quality", "metric")]
    ]


def _reachable(ctx: Context, parsed: ParsedContract) -> set[str]:
    """Return the teams whose present channel a test message reached."""
    try:
        with ctx.read() as tx:
            contacts = projects.contacts(tx, ctx.project_id)
    except NotFound:
        return set()
    return reached_teams(parsed.contract, contacts)


def _line(parsed: ParsedContract, gap: Gap) -> GapLine:
    where = f"{parsed.filename}:{gap.line}"
    return GapLine(where=where, blocks=gap.blocks, what=gap.what, fix=gap.fix)


def _duty_line(duty: "DutyState") -> GapLine:
    what = f"{duty.cited}: {duty.what}."
    return GapLine(where=duty.where, blocks=Step.PRODUCTION.value, what=what, fix=duty.fix)


def _summed_up(refused: list[str], step: Step) -> str:
    lines = "".join(f"\n  {each}" for each in refused)
    noun = "answer is" if len(refused) == 1 else "answers are"
    return f"{len(refused)} {noun} missing for {step.value}:{lines}"
