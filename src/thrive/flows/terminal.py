"""What work prints, on the terminal of whoever waits for it."""

import sys


def show_on_terminal(text: str) -> None:
    """Pass what steps write on to standard error, past a progress line that may stand there."""
    clear = "\r\x1b[2K" if sys.stderr.isatty() else ""
    sys.stderr.write(clear + text)
    sys.stderr.flush()
