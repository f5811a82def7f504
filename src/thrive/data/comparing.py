"""The operation that compares two versions of a dataset; it alone loads the statistics for it."""

from pathlib import Path

from thrive.data.diff import VersionDiff, diff_files, diff_tables
from thrive.data.diff_page import write_page
from thrive.data.questions import as_declared
from thrive.data.reading import find_version, scan_version, split_name
from thrive.data.wanted import terms_of
from thrive.domain.actor import ANYONE
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotFound, UsageError
from thrive.operations import Context, operation
from thrive.store import datasets


@operation("data diff", role=ANYONE)
def diff(
    ctx: Context,
    name: str,
    before: int | str = "",
    after: int | str = "",
    *,
    key: str = "",
    html: Path | None = None,
) -> VersionDiff:
    """Compare two versions: columns, rows that came, went or changed, and how values moved.

    Rows are matched by the key; without one, and without a `unique(...)` check in the contract,
    they are compared as a whole. Values are compared with the statistics of monitoring: a column
    has moved from a PSI of 0.1 on, or where a tenth more or less is missing, if chance does not
    explain it. Of folders that are no tables the files are compared.

    Args:
        name: the dataset, or its first version as NAME@VERSION.
        before: the first version, by number or tag; the one before the second if not given.
        after: the second version, by number or tag; the newest if not given.
        key: the columns that name a row, separated by commas.
        html: a file to write the comparison into, as one page with plots.

    Raises:
        NotFound: there is no such version.
        UsageError: a column of the key is missing, or two rows have one key; two datasets are
            named; or the page cannot be written.

    Examples:
        thrive data diff flights
        thrive data diff flights 1 2 --key flight_id --html diff.html
        thrive data diff flights@1 flights@spring
    """
    named = _versions(ctx, name, str(before), str(after))
    declared = terms_of(ctx.folder, named[0].dataset).personal_kinds
    versions = as_declared(named[0], declared), as_declared(named[1], declared)
    blobs = ctx.home.blobs
    names = [part.strip() for part in key.split(",") if part.strip()]
    if all(each.is_table for each in versions):
        scans = scan_version(versions[0], blobs), scan_version(versions[1], blobs)
        found = diff_tables(*versions, scans, blobs, names)
    else:
        found = diff_files(*versions, blobs, names)
    if html is not None:
        write_page(found, ctx.local_folder() / html)
    return found


def _versions(
    ctx: Context, name: str, before: str, after: str
) -> tuple[DatasetVersion, DatasetVersion]:
    """Return the two versions that somebody named, in whichever way."""
    dataset, first = split_name(name)
    rest = [each for each in (before, after) if each]
    if first is not None:
        rest = [str(first), *rest]
    if len(rest) > 2:
        raise UsageError(
            f"{name} {before} {after} are three versions.", f"thrive data diff {dataset} 1 2"
        )
    labels = [_label(dataset, each) for each in rest]
    second = find_version(ctx, labels[1]) if len(labels) > 1 else _newest(ctx, dataset)
    return find_version(ctx, labels[0]) if labels else _before(ctx, second), second


def _label(dataset: str, named: str) -> str:
    """Return NAME@VERSION of a version that is named so, or by number or tag alone."""
    other, at, _ = named.partition("@")
    if at and other != dataset:
        raise UsageError(f"{named} is no version of {dataset}.", f"thrive data diff {dataset} 1 2")
    return named if at else f"{dataset}@{named}"


def _newest(ctx: Context, dataset: str) -> DatasetVersion:
    with ctx.read() as tx:
        return datasets.get_version(tx, ctx.project_id, dataset)


def _before(ctx: Context, version: DatasetVersion) -> DatasetVersion:
    with ctx.read() as tx:
        known = datasets.versions(tx, ctx.project_id, version.dataset)
    older = [each for each in known if each.version < version.version]
    if not older:
        only = f"{version.dataset}@{version.version}"
        raise NotFound(f"There is no version before {only}.", f"thrive data log {version.dataset}")
    return older[0]
