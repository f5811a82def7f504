"""A card as Markdown, as one self-contained HTML page, and as JSON."""

from importlib.resources import files

import msgspec

from thrive.governance.card import Card, Fact

MISSING = "missing"
SHORT = 12


def as_json(card: Card) -> bytes:
    """Return canonical JSON: the same bytes for the same card."""
    return msgspec.json.format(msgspec.json.encode(card, order="sorted"), indent=2) + b"\n"


def as_markdown(card: Card) -> str:
    """Return the card as Markdown, one table a section."""
    lines = [f"# {card.model}, version {card.version}", "", card.notice, ""]
    lines += [f"{card.missing} facts are missing." if card.missing else "No fact is missing.", ""]
    for section in card.sections:
        lines += [f"## {section.title}", ""]
        if not section.facts:
            lines += [section.empty, ""]
            continue
        lines += ["| what | recorded | record |", "|---|---|---|"]
        lines += [_row(fact) for fact in section.facts]
        lines.append("")
    return "\n".join(lines)


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


def as_html(card: Card) -> str:
    """Return the card as one HTML page without scripts or anything from elsewhere."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = files("thrive.governance").joinpath("card.html").read_text(encoding="utf-8")
    template = environment.from_string(source)
    return template.render(card=card, missing=MISSING, short=short)
