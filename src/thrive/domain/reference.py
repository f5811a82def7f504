"""How people name a version: `flight-delay@3`, or `flight-delay` for the newest."""

from thrive.domain.errors import UsageError
from thrive.domain.identifiers import checked_name


def parse_reference(text: str, noun: str = "model") -> tuple[str, int | None]:
    """Return the name and the version number in `NAME` or `NAME@VERSION`; `@v3` is `@3`.

    Args:
        text: what the user wrote.
        noun: what is named, for the message (`model`, `dataset`).

    Raises:
        UsageError: the name has another form, or the version is no number from 1.
    """
    name, mark, version = text.partition("@")
    checked_name(name, noun)
    if not mark:
        return name, None
    digits = version.removeprefix("v")
    if not (digits.isascii() and digits.isdigit() and int(digits[:9]) > 0 and len(digits) < 10):
        raise UsageError(
            f"{version[:40]!r} is not a version of {noun} {name}.", f"write {name} or {name}@1"
        )
    return name, int(digits)


def format_reference(name: str, version: int) -> str:
    """Return `NAME@VERSION`."""
    return f"{name}@{version}"
