"""A comparison of two versions as one HTML page: no script, nothing from elsewhere."""

from importlib.resources import files
from pathlib import Path

from thrive.data.diff import VersionDiff
from thrive.data.distributions import REST, Distribution
from thrive.domain.errors import UsageError

WIDTH, HEIGHT, BASE = 300, 96, 84
_LETTER = 5.5
"""How wide a letter under the bars is, on average."""


def write_page(diff: VersionDiff, path: Path) -> None:
    """Write the page of a comparison into a file.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        path.write_text(as_html(diff), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "give a file in a folder that exists"
        ) from error


def as_html(diff: VersionDiff) -> str:
    """Return the page; every word from the data is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = files("thrive.data").joinpath("diff.html").read_text(encoding="utf-8")
    moved_first = sorted(diff.distributions, key=lambda each: (not each.moved, -(each.psi or 0.0)))
    return environment.from_string(source).render(
        diff=diff,
        distributions=moved_first,
        bars=bars,
        marks=marks,
        say=_said,
        psi=_psi,
        width=WIDTH,
        height=HEIGHT,
        base=BASE,
    )


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def _psi(value: float | None) -> str:
    """Return a PSI; without its bias one of columns that are alike lies around nothing."""
    return "-" if value is None else f"{max(value, 0.0):.3f}"


def _drawn(shown: Distribution) -> list[tuple[str, float, float]]:
    """Return the bins with their shares, without the ends that nothing lies in."""
    bins = list(zip(shown.labels, shown.before, shown.after, strict=True))
    return [each for each in bins if any(each[1:]) or each[0] not in REST]


def marks(shown: Distribution) -> list[tuple[float, str, str]]:
    """Return what stands under the bars: each category, of numbers where the ends begin.

    Returns:
        (x, how the text is anchored there, text).
    """
    names = [label for label, _, _ in _drawn(shown)]
    if not names:
        return []
    step = WIDTH / len(names)
    if not set(REST) & set(shown.labels):
        return [(0, "start", names[0]), (WIDTH, "end", names[-1])]
    letters = max(int(step / _LETTER), 1)
    return [
        (round(step * (index + 0.5), 2), "middle", _cut(name, letters))
        for index, name in enumerate(names)
    ]


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def bars(shown: Distribution) -> list[tuple[float, float, float, float, float, str]]:
    """Return the two bars of each bin, in the units of the drawing.

    Returns:
        (x, width of one bar, height before, height after, x of the second bar, label).
    """
    drawn = _drawn(shown)
    if not drawn:
        return []
    highest = max(*shown.before, *shown.after, 1e-9)
    step = WIDTH / len(drawn)
    wide = max(1.0, step / 2 - 0.5)
    return [
        (
            round(step * index, 2),
            round(wide, 2),
            round(BASE * old / highest, 2),
            round(BASE * new / highest, 2),
            round(step * index + wide, 2),
            f"{label}: {old:.2%} before, {new:.2%} after",
        )
        for index, (label, old, new) in enumerate(drawn)
    ]
