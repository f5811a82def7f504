"""The operation that compares two versions of a dataset; it alone loads the statistics for it."""

from pathlib import Path

from thrive.data.diff import VersionDiff, diff_tables
from thrive.data.diff_page import write_page
from thrive.data.reading import find_version, scan_version
from thrive.domain.actor import ANYONE
from thrive.operations import Context, operation


@operation("data diff", role=ANYONE)
def diff(
    ctx: Context, name: str, before: int, after: int, *, key: str = "", html: Path | None = None
) -> VersionDiff:
    """Compare two versions: columns, rows that came, went or changed, and how values moved.

    Rows are matched by the key; without one, and without a `unique(...)` check in the contract,
    they are compared as a whole. Values are compared with the statistics of monitoring.

    Args:
        name: the dataset.
        before: the number of the first version.
        after: the number of the second version.
        key: the columns that name a row, separated by commas.
        html: a file to write the comparison into, as one page with plots.

    Raises:
        NotFound: there is no such version.
        UsageError: a column of the key is missing, or two rows have one key; or the page cannot be
            written.

    Examples:
        thrive data diff flights 1 2
        thrive data diff flights 1 2 --key flight_id --html diff.html
    """
    versions = find_version(ctx, name, before), find_version(ctx, name, after)
    blobs = ctx.home.blobs
    scans = scan_version(versions[0], blobs), scan_version(versions[1], blobs)
    names = [part.strip() for part in key.split(",") if part.strip()]
    found = diff_tables(*versions, scans, blobs, names)
    if html is not None:
        write_page(found, ctx.local_folder() / html)
    return found
