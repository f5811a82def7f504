"""`data find-subject`: what is known of one person.

Files are searched beside while the rest of the command gets ready: half of it is imports.
"""

from pathlib import Path

import msgspec

from thrive.domain.actor import ERASERS
from thrive.domain.errors import NotFound, UsageError
from thrive.flows.erasure.ahead import look_ahead
from thrive.operations import Context, Kind, PrivateText, operation
from thrive.store.place import FOLDER
from thrive.store.pseudonyms import spellings_here
from thrive.store.quick_imports import quick_imports


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """How one dataset was searched.

    Attributes:
        dataset: its name.
        versions: how many of its versions have one of the columns.
        columns: those whose values were compared with the person's.
        others: columns that hold personal data, or seem to, and were not searched: who is known
            there by another value is not found.
        next_hint: what searches the first of those, "" where there is none.
    """

    dataset: str
    versions: int
    columns: list[str]
    others: list[str]
    next_hint: str = ""

    @property
    def words(self) -> list[str]:
        """The same in sentences."""
        found: list[str] = []
        if self.columns:
            names = ", ".join(self.columns)
            found.append(f"looked in {names} of {self.dataset} ({self.versions} versions)")
        if self.others:
            names = ", ".join(self.others)
            found.append(
                f"{names} of {self.dataset} hold personal data too and were not searched: "
                f"{self.next_hint}"
            )
        return found


class SubjectRows(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version that holds rows of the person: how many, in how many of its files."""

    dataset: str
    version: int
    column: str
    rows: int
    files: int


class SubjectRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that read or made one of these versions."""

    run_id: str
    pipeline: str
    state: str
    direction: str
    dataset: str
    version: int
    started_at: int


class SubjectModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model version that was trained on one of these; `live_share` is its share of traffic.

    `through` are the versions made from that one which it really read; empty where it read it.
    """

    model: str
    version: int
    trained_on: str
    live_share: float
    through: str = ""


class SubjectAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions about the person in the sealed log, and the outcomes that answer them."""

    model: str
    version: int
    predictions: int
    outcomes: int


class Unsearched(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that could not be searched, and why."""

    dataset: str
    why: str


class SubjectFound(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that names the person; `rows` counts each version's rows.

    Attributes:
        rows: rows of the person, over all versions.
        predictions: answers about the person.
        versions: where the rows are.
        runs: which runs read or made them.
        models: which model versions learned from them.
        answers: predictions and outcomes about them, by model version.
        unsearched: datasets in which nobody can be found.
        looked: by which columns each dataset was searched, and by which that hold personal data
            it was not.
    """

    rows: int
    predictions: int
    versions: list[SubjectRows]
    runs: list[SubjectRun]
    models: list[SubjectModel]
    answers: list[SubjectAnswers]
    unsearched: list[Unsearched]
    looked: list[Looked] = []
    next_hint: str = ""


@operation("data find-subject", kind=Kind.CLIENT, role=ERASERS)
def find_subject(
    ctx: Context,
    value: PrivateText = "",
    *,
    dataset: str = "",
    column: str = "",
    from_file: Path | None = None,
) -> SubjectFound:
    """Find a person in every version of every dataset, in runs, models, predictions and outcomes.

    A person is a value of the column that `subject` in [data.NAME] names. Without VALUE you are
    asked for it, so that it does not stay in the shell's history; `-` reads it from standard
    input. It enters no log and no audit row.

    Args:
        value: the person, as the subject column has it.
        dataset: only in this dataset.
        column: the column that names a person, instead of those of the contract.
        from_file: a file whose first line is the value.

    Raises:
        NotFound: there is no such dataset.
        UsageError: no value is given, or no dataset has a subject column.

    Examples:
        thrive data find-subject
        thrive data find-subject --from-file /run/user/1000/person --dataset deliveries --json
    """
    folder = ctx.local_folder()
    asked = given_person(ctx, value, from_file)
    person = spellings_here(asked, folder / FOLDER)
    ahead = look_ahead(folder, person, dataset, column)
    try:
        with quick_imports():
            from thrive.flows.erasure import searching
            from thrive.store.pseudonym_keys import every_spelling

        every = every_spelling(asked, ctx.home)
        return searching.search(ctx, every, dataset, column, ahead if every == person else None)
    finally:
        if ahead is not None:
            ahead.stop()


def given_person(ctx: Context, value: str, from_file: Path | None) -> str:
    """Return the value that names the person: as given, or the first line of a file.

    Raises:
        UsageError: there is none.
        NotFound: the file is not there.
    """
    text = value
    if from_file is not None:
        try:
            content = (ctx.local_folder() / from_file).read_text(encoding="utf-8")
        except OSError:
            raise NotFound(f"The file {from_file} cannot be read.", "check the path") from None
        text = content.split("\n", 1)[0].rstrip("\r")
    if not text:
        raise UsageError("Who? No value is given.", f"thrive {ctx.operation} --from-file FILE")
    return text
