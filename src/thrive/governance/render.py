"""A card or a document as Markdown, as one self-contained HTML page, and as JSON."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

import msgspec

from thrive.governance.facts import MISSING, Fact, Section

if TYPE_CHECKING:
    from jinja2 import Template

SHORT = 12


class Paper(Protocol):
    """What can be rendered: a title, a notice, and sections of facts."""

    @property
    def title(self) -> str:
        """What it is, and of what."""
        ...

    @property
    def notice(self) -> str:
        """What a reader must know of it."""
        ...

    @property
    def missing(self) -> int:
        """How many facts nobody recorded."""
        ...

    @property
    def sections(self) -> list[Section]:
        """Its facts under headings."""
        ...


def as_json(paper: Paper) -> bytes:
    """Return canonical JSON: the same bytes for the same paper."""
    return msgspec.json.format(msgspec.json.encode(paper, order="sorted"), indent=2) + b"\n"


def as_markdown(paper: Paper) -> str:
    """Return it as Markdown, one table a section."""
    lines = [f"# {paper.title}", "", paper.notice, ""]
    lines += [f"{paper.missing} facts are missing:" if paper.missing else "No fact is missing.", ""]
    lines += [f"- {_escaped(line)}" for line in missing_lines(paper)]
    lines += [""] if paper.missing else []
    for section in paper.sections:
        lines += [f"## {section.title}", ""]
        if not section.facts:
            lines += [section.empty, ""]
            continue
        lines += ["| what | recorded | record |", "|---|---|---|"]
        lines += [_row(fact) for fact in section.facts]
        lines.append("")
    return "\n".join(lines)


def missing_lines(paper: Paper) -> list[str]:
    """Return what nobody recorded, as `section: statement`, in the order of the paper."""
    return [
        f"{section.title}: {fact.what}"
        for section in paper.sections
        for fact in section.facts
        if fact.value is None
    ]


def _row(fact: Fact) -> str:
    value = f"**{MISSING}**" if fact.value is None else _escaped(fact.value)
    return f"| {_escaped(fact.what)} | {value} | `{short(fact.source)}` |"


def _escaped(text: str) -> str:
    """Return text that stays text in a cell of a Markdown table."""
    for sign in ("\\", "|", "`", "*", "_", "[", "]"):
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())


def short(source: str) -> str:
    """Return a source with its long digest cut: `contract:1a2b3c4d5e6f#model.delay.owner`."""
    record, mark, path = source.partition("#")
    kind, _, identity = record.partition(":")
    is_digest = len(identity) == 64
    return f"{kind}:{identity[:SHORT] if is_digest else identity}{mark}{path}"


def as_html(paper: Paper) -> str:
    """Return it as one HTML page without scripts or anything from elsewhere."""
    lines = missing_lines(paper)
    return _template().render(paper=paper, missing=MISSING, lines=lines, short=short)


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = files("thrive.governance").joinpath("paper.html").read_text(encoding="utf-8")
    return environment.from_string(source)
