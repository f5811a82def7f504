"""How far long work is: one line on a terminal's standard error, nothing anywhere else."""

import os
import sys
import time
from types import TracebackType
from typing import Self

from thrive.cli.safe import printable

SILENT_SECONDS = 1.0
REFRESH_SECONDS = 0.1
BAR = 24


class ProgressLine:
    """A callable `progress(share, words)` that draws a bar once work takes over a second."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._drawn_at = 0.0
        self._visible = False
        self._quiet = not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"

    def __call__(self, share: float, words: str) -> None:
        """Draw that `share` (0..1) of the work is done."""
        now = time.monotonic()
        elapsed = now - self._started
        if self._quiet or elapsed < SILENT_SECONDS or now - self._drawn_at < REFRESH_SECONDS:
            return
        self._drawn_at, self._visible = now, True
        sys.stderr.write(f"\r\x1b[2K{progress_text(share, words, elapsed)}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line, before anything else is printed."""
        if self._visible:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._visible = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()


def progress_text(share: float, words: str, elapsed: float) -> str:
    """Return one line: a bar, the share, the seconds that are left at this rate, the words."""
    share = min(max(share, 0.0), 1.0)
    full = round(share * BAR)
    left = f" {elapsed / share - elapsed:4.0f} s left" if share >= 0.01 else " " * 12
    return f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}{left}  {printable(words)[:60]}"
