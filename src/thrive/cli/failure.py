"""What went wrong, as one message: what happened, and what to type next."""

import errno
import json
import os
import sys
import traceback

from thrive.cli.safe import printable
from thrive.domain.errors import DiskFull, InfrastructureError, ThriveError

UNEXPECTED = 4
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LEAVE = {errno.EACCES, errno.EPERM, errno.EROFS}


def report(error: Exception, *, as_json: bool) -> int:
    """Print an error and return its exit code.

    An error that Thrive does not raise on purpose is one line; `THRIVE_DEBUG=1` adds its
    traceback. With `as_json` the error is an object on standard output.
    """
    if isinstance(error, ThriveError):
        code, kind, what, hint = error.exit_code, error.code, error.what, error.hint
    elif isinstance(error, OSError) and error.errno in _NO_LEAVE:
        code, kind = InfrastructureError.exit_code, InfrastructureError.__name__
        what = f"{error.filename or 'A file'}: {(error.strerror or str(error)).lower()}."
        hint = "make it writable for you, or work in a copy of the folder"
    elif isinstance(error, OSError) and error.errno in _FULL:
        code, kind = DiskFull.exit_code, DiskFull.__name__
        what = f"{error.filename or 'A disk'}: {(error.strerror or str(error)).lower()}."
        hint = "free some space there; what was acknowledged is kept"
    else:
        code, kind = UNEXPECTED, "UnexpectedError"
        what = f"{type(error).__name__}: {error}"
        hint = "set THRIVE_DEBUG=1 to see where, and report it"
    if os.environ.get("THRIVE_DEBUG", "") not in {"", "0", "false"}:
        traceback.print_exception(error)
    if as_json:
        body = {"code": kind, "what": what, "hint": hint, "exit_code": code}
        sys.stdout.write(json.dumps({"error": body}, ensure_ascii=False) + "\n")
        return code
    sys.stderr.write(f"error: {printable(what, lines=True)}\n")
    if hint:
        sys.stderr.write(f"next: {printable(hint, lines=True)}\n")
    return code
