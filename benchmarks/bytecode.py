"""Byte code for Thrive, as pip makes it on installing.

A benchmark that runs from a checkout would otherwise pay for compiling the sources with every
command (where PYTHONDONTWRITEBYTECODE is set, or the checkout was changed), and its peer not.
"""

import compileall
from pathlib import Path

import thrive


def compile_ours() -> None:
    """Compile what is imported as `thrive`."""
    compileall.compile_dir(Path(thrive.__file__).parent, quiet=2)
