"""What a command says of an error that the system raised."""

import errno
import os

import pytest

from thrive.cli.failure import report
from thrive.domain.errors import DiskFull


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some space there"),
        (errno.EDQUOT, "free some space there"),
        (errno.EACCES, "make it writable"),
        (errno.EIO, "THRIVE_DEBUG=1"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(number: int, hint: str, capsys) -> None:
    code = report(OSError(number, os.strerror(number), "/data/journal"), as_json=False)
    told = capsys.readouterr().err
    assert code == DiskFull.exit_code
    assert "/data/journal" in told
    assert hint in told
