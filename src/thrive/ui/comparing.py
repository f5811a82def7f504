"""Comparisons of data versions, made beside the pages: reading both may take many seconds.

A page waits a moment for one; if it is not ready by then, the page shows what is known without the
rows and asks again. What was found once is kept while the server runs: a version never changes but
by an erasure, which writes it down anew.
"""

import threading
from collections import OrderedDict

from thrive.data.comparing import diff
from thrive.data.diff import VersionDiff
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import ThriveError
from thrive.operations import Context

KEPT = 64
"""Comparisons that are remembered, the last asked for."""
PATIENCE_S = 0.3
"""How long a page waits for one."""


class Comparison:
    """One comparison: `found` or `why_not` once it is `ready`."""

    def __init__(self, ctx: Context, before: DatasetVersion, after: DatasetVersion) -> None:
        self.ready = threading.Event()
        self.found: VersionDiff | None = None
        self.why_not = ""
        work = threading.Thread(target=self._make, args=(ctx, before, after), daemon=True)
        work.start()

    def _make(self, ctx: Context, before: DatasetVersion, after: DatasetVersion) -> None:
        try:
            with _one_at_a_time:
                self.found = diff(ctx, after.dataset, before.version, after.version)
        except ThriveError as error:
            self.why_not = error.what
        except Exception as error:  # noqa: BLE001 - a thread of its own: the page must hear of it
            self.why_not = f"{type(error).__name__} while reading; `thrive data diff` says more."
        finally:
            self.ready.set()


_one_at_a_time = threading.Lock()
_lock = threading.Lock()
_kept: OrderedDict[tuple[str, ...], Comparison] = OrderedDict()


def comparison(ctx: Context, before: DatasetVersion, after: DatasetVersion) -> Comparison:
    """Return the comparison of two versions, begun now if nobody asked for it before.

    What failed is tried anew: files that were missing may have come.
    """
    key = (ctx.project_id, after.dataset, before.listed_in, after.listed_in)
    with _lock:
        known = _kept.pop(key, None)
        if known is None or known.why_not:
            known = Comparison(ctx, before, after)
        _kept[key] = known
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    known.ready.wait(PATIENCE_S)
    return known
