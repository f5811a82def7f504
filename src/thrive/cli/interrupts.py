"""Ctrl-C: heard once as `KeyboardInterrupt` where that is safe; the second one always ends.

Python's own handler raises wherever the program is, also inside of the import system: there it can
leave a lock taken for ever, on which the threads that still import, and the end of the
process, then wait. Ours waits until the import system is left, which takes moments.
"""

import signal
from types import FrameType

_IMPORT_SYSTEM = "<frozen importlib"
_AGAIN_S = 0.02


def hear_interrupts() -> None:
    """Hear Ctrl-C as said above; a process that was started to ignore it, or not to, stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def end_at_once() -> None:
    """Let Ctrl-C end the process from now on: everything is done, nothing is left to tell."""
    if signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # by the kernel: whatever this process waits for
    if frame is not None and frame.f_code.co_filename.startswith(_IMPORT_SYSTEM):
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        return
    raise KeyboardInterrupt
