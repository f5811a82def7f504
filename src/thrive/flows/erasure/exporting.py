"""What is known of one person, written for them: their rows, answers about them, and a list of it.

GDPR art. 15 and 20: in files that people and programs read (CSV and JSON lines), with the digest
of each, so that it can be told later what was handed out.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import blake3
import msgspec

from thrive.data.access import PersonalView, log_read
from thrive.data.closed import closed_columns
from thrive.data.subjects import PREFIXES, Searched, files_once, rows_in_files, searched_versions
from thrive.data.wanted import terms_of
from thrive.domain.actor import STEWARDS
from thrive.domain.duty import SUBJECT_ACCESS
from thrive.domain.errors import Conflict
from thrive.domain.reference import format_reference
from thrive.flows.erasure.finding import Looked, given_person
from thrive.flows.erasure.holdings import as_csv, features_of, held_content
from thrive.flows.erasure.looked import looked_in
from thrive.flows.erasure.searching import prediction_ids, subject_columns
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context, Kind, PrivateText, operation
from thrive.store import predictions
from thrive.store.prediction_frames import scan_sealed
from thrive.store.pseudonym_keys import every_spelling
from thrive.store.snapshots.matching import Person, names_person
from thrive.store.snapshots.people import PeopleIndex
from thrive.store.snapshots.tables import scan_files

if TYPE_CHECKING:
    import polars as pl

LIST = "subject.json"


class HandedOut(msgspec.Struct, frozen=True, kw_only=True):
    """One file: the version its rows are of, or the model that answered; how many rows; its digest.

    The digest is the BLAKE3 of the file, 64 hex digits.
    """

    file: str
    subject: str
    rows: int
    digest: str


class SubjectExport(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed out of one person; the same is written as `subject.json`.

    `unread` names what holds the person and cannot be handed out in part, `looked` by which columns
    each dataset was searched, and by which that hold personal data it was not.
    """

    folder: str
    at: int
    actor: str
    files: list[HandedOut]
    unread: list[str] = []
    looked: list[Looked] = []


@operation("data export-subject", kind=Kind.CLIENT, role=STEWARDS, writes=True)
def export_subject(
    ctx: Context,
    value: PrivateText = "",
    *,
    to: Path,
    column: str = "",
    from_file: Path | None = None,
) -> SubjectExport:
    """Write what is known of a person into a folder: rows, features, artifacts, answers, outcomes.

    Rows are CSV, a file for each version or artifact that holds some; of texts, the lines that name
    the person. Features are JSON lines, as serving reads them; so are answers, with what was asked,
    what was said and what really happened. The reading is logged, without the value.

    Args:
        value: the person, as the subject column has it; asked for if not given, `-` reads it.
        to: a new folder.
        column: the column that names a person, instead of those of the contract.
        from_file: a file whose first line is the value.

    Raises:
        UsageError: no value is given, or no dataset has a subject column.
        Conflict: the folder is there already.

    Examples:
        thrive data export-subject --from-file /run/user/1000/person --to request-17
    """
    sought = Sought(*every_spelling(given_person(ctx, value, from_file), ctx.home))
    person = sought.spellings
    columns = subject_columns(ctx, "", column)
    folder = ctx.local_folder() / to
    if folder.exists():
        raise Conflict(f"{to} is there already.", "name a new folder with --to")
    folder.mkdir(parents=True, mode=0o700)
    searched = searched_versions(ctx, columns, "")
    ids = prediction_ids(ctx, set(columns.values()), person)
    held = held_content(ctx, sought, ids)
    files = [
        *_rows(ctx, searched, person, folder),
        *(
            _lines(folder, f"features-{name}", f"features of {name}", rows)
            for name, rows in features_of(ctx, searched, person)
        ),
        *(_kept(folder, each.name, each.subject, each.content, each.rows) for each in held.parts),
        *_answers(ctx, set(columns.values()), person, folder, ids),
    ]
    made = SubjectExport(
        folder=str(folder),
        at=ctx.now(),
        actor=ctx.actor.name,
        files=files,
        unread=held.unread,
        looked=looked_in(ctx, searched),
    )
    (folder / LIST).write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    with ctx.write("subject:export", files={each.subject: each.digest for each in files}):
        pass  # the record of the reading is its audit row
    return made


def _rows(
    ctx: Context, searched: Sequence[Searched], person: Person, folder: Path
) -> Iterator[HandedOut]:
    counts = rows_in_files(ctx.home, searched, person, index=PeopleIndex(ctx.home.folder))
    for each in searched:
        if not any(digest.hex() in counts for digest in each.snapshot.digests):
            continue
        import polars as pl

        found: list[pl.DataFrame] = []
        for _, entry, path in files_once(ctx.home.blobs, [each]):
            if entry.digest in counts:
                scan = scan_files([entry], [path], each.version.columns)
                matches = names_person(scan.collect_schema(), each.columns, person)
                assert matches is not None, "a file with rows of the person has such a column"
                found.append(scan.filter(matches).collect())
        frame = pl.concat(found, how="diagonal_relaxed")
        _log(ctx, each, frame.height)
        yield _written(folder, f"{each.label}.csv", each.label, frame)


def _log(ctx: Context, searched: Searched, rows: int) -> None:
    version = msgspec.structs.replace(searched.version, rows=rows)
    declared = terms_of(ctx.folder, version.dataset).personal_kinds
    with ctx.read() as tx:
        closed = closed_columns(tx, ctx.project_id, version, declared)
    log_read(ctx, version, PersonalView(columns=closed, hidden=[], purpose=SUBJECT_ACCESS))


def _answers(
    ctx: Context, columns: set[str], person: Person, folder: Path, ids: "pl.DataFrame | None"
) -> Iterator[HandedOut]:
    if ids is None:
        return
    wanted = [prefix + column for prefix in PREFIXES for column in sorted(columns)]
    told: dict[str, list[dict[str, object]]] = {}
    with ctx.read() as tx:
        for digest in ids["digest"].unique(maintain_order=True).to_list():
            scan = scan_sealed(ctx.home, digest)
            matches = names_person(scan.collect_schema(), wanted, person)
            assert matches is not None, "answers about the person have such a column"
            for row in scan.filter(matches).collect().to_dicts():
                outcomes = predictions.outcomes_of(tx, ctx.project_id, row["prediction_id"])
                known = {name: cell for name, cell in row.items() if cell is not None}
                label = format_reference(row["model"], row["version"])
                told.setdefault(label, []).append(
                    {**known, "outcomes": msgspec.to_builtins(outcomes)}
                )
    for label, rows in sorted(told.items()):
        yield _lines(folder, f"answers-{label}", f"answers of {label}", rows)


def _lines(
    folder: Path, name: str, subject: str, rows: Sequence[Mapping[str, object]]
) -> HandedOut:
    content = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    return _kept(folder, f"{name}.jsonl", subject, content, len(rows))


def _written(folder: Path, name: str, subject: str, frame: "pl.DataFrame") -> HandedOut:
    return _kept(folder, name, subject, as_csv(frame), frame.height)


def _kept(folder: Path, name: str, subject: str, content: bytes, rows: int) -> HandedOut:
    (folder / name).write_bytes(content)
    digest = blake3.blake3(content).hexdigest()
    return HandedOut(file=name, subject=subject, rows=rows, digest=digest)
