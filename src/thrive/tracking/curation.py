"""What people say of runs afterwards: tags, notes, and that one shall not be shown any more."""

from collections.abc import Callable

import msgspec

from thrive.domain.actor import BUILDERS
from thrive.domain.errors import UsageError
from thrive.domain.run import Run
from thrive.operations import Context, operation
from thrive.store import runs

NOTE_TAG = "mlflow.note.content"
"""Where the notes of a run are kept: MLflow's clients read and write them there."""
LONGEST_KEY, LONGEST_VALUE = 250, 8000


class Curated(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it stands after what was said of it."""

    run_id: str
    tags: dict[str, str]
    deleted: bool


@operation("runs tag", role=BUILDERS, writes=True, next_hint="thrive runs show {run_id}")
def tag(ctx: Context, run: str, key: str, *, value: str = "") -> Curated:
    """Set a tag of a run; an empty value takes it away.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.
        key: the tag's name.
        value: what it says.

    Raises:
        UsageError: the name or the value is too long, or the name is empty.

    Examples:
        thrive runs tag 01928374 stage --value "to be compared"
    """
    name = key.strip()
    if not name or len(name) > LONGEST_KEY or len(value) > LONGEST_VALUE:
        raise UsageError(
            f"A tag has a name of 1 to {LONGEST_KEY} characters and at most {LONGEST_VALUE:,} of "
            "value.",
            "give it a shorter one",
        )
    return _change(ctx, run, lambda found: _tagged(found, name, value), tag=name)


@operation("runs note", role=BUILDERS, writes=True, next_hint="thrive runs show {run_id}")
def note(ctx: Context, run: str, *, text: str = "") -> Curated:
    """Write the notes of a run; an empty text takes them away.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.
        text: what is known of the run.

    Raises:
        UsageError: the text is too long.

    Examples:
        thrive runs note 01928374 --text "the weather feed was down: do not compare"
    """
    if len(text) > LONGEST_VALUE:
        raise UsageError(f"The notes have {len(text):,} characters.", "at most 8,000 are kept")
    return _change(ctx, run, lambda found: _tagged(found, NOTE_TAG, text.strip()), tag=NOTE_TAG)


@operation("runs delete", role=BUILDERS, writes=True, next_hint="thrive runs restore {run_id}")
def delete(ctx: Context, run: str, *, reason: str) -> Curated:
    """Take a run out of lists and comparisons; it can be restored.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.
        reason: why; part of the audit chain.

    Raises:
        UsageError: no reason is given.
        Refused: a legal hold is on the project, on what it read or on a model it made.

    Examples:
        thrive runs delete 01928374 --reason "wrong data"
    """
    if not reason.strip():
        raise UsageError("The reason is empty.", 'say why, e.g. --reason "wrong data"')
    run_id = _run_id(ctx, run)
    with ctx.write(f"run:{run_id}", deleted=True, reason=reason) as tx:
        return _curated(runs.take_out(tx, ctx.project_id, run_id, ctx.now()))


@operation("runs restore", role=BUILDERS, writes=True, next_hint="thrive runs show {run_id}")
def restore(ctx: Context, run: str) -> Curated:
    """Bring a deleted run back into lists and comparisons.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.

    Examples:
        thrive runs restore 01928374
    """
    run_id = _run_id(ctx, run)
    with ctx.write(f"run:{run_id}", deleted=False) as tx:
        return _curated(runs.put_back(tx, ctx.project_id, run_id))


def _tagged(run: Run, name: str, value: str) -> Run:
    kept = {key: said for key, said in run.tags.items() if key != name}
    return msgspec.structs.replace(run, tags={**kept, name: value} if value else kept)


def _run_id(ctx: Context, run: str) -> str:
    with ctx.read() as tx:
        return runs.get(tx, ctx.project_id, run).run_id


def _curated(run: Run) -> Curated:
    return Curated(run_id=run.run_id, tags=run.tags, deleted=run.deleted_at is not None)


def _change(ctx: Context, run: str, change: Callable[[Run], Run], **detail: object) -> Curated:
    run_id = _run_id(ctx, run)
    with ctx.write(f"run:{run_id}", **detail) as tx:
        changed = change(runs.hold(tx, ctx.project_id, run_id)[run_id])
        runs.save(tx, ctx.project_id, changed)
    return _curated(changed)
