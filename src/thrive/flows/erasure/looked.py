"""Where a person was looked for: by which columns of which datasets, and by which not."""

from collections.abc import Sequence

from thrive.data.closed import closed_columns
from thrive.data.subjects import Searched
from thrive.data.wanted import terms_of
from thrive.flows.erasure.finding import Looked
from thrive.operations import Context


def looked_in(ctx: Context, searched: Sequence[Searched]) -> list[Looked]:
    """Return how each dataset was searched.

    Args:
        ctx: the project.
        searched: its versions, oldest first.
    """
    by_name: dict[str, list[Searched]] = {}
    for each in searched:
        by_name.setdefault(each.version.dataset, []).append(each)
    return [_looked(ctx, name, versions) for name, versions in sorted(by_name.items())]


def _looked(ctx: Context, name: str, versions: list[Searched]) -> Looked:
    columns = list(dict.fromkeys(column for each in versions for column in each.columns))
    declared = terms_of(ctx.folder, name).personal_kinds
    with ctx.read() as tx:
        closed = closed_columns(tx, ctx.project_id, versions[-1].version, declared)
    others = [each for each in closed if each not in columns]
    hint = f"thrive data find-subject --dataset {name} --column {others[0]}" if others else ""
    return Looked(
        dataset=name,
        versions=sum(bool(each.columns) for each in versions),
        columns=columns,
        others=others,
        next_hint=hint,
    )
