"""The operation `gates report`: a verdict as one HTML file, made from the page's own template."""

from pathlib import Path

import msgspec
from markupsafe import Markup

from thrive.domain.actor import ANYONE
from thrive.domain.errors import NotFound
from thrive.domain.gate import Verdict
from thrive.domain.identifiers import is_id
from thrive.domain.reference import parse_reference
from thrive.gates.gate_file import read_gate_file
from thrive.operations import Context, Kind, operation
from thrive.store import gates
from thrive.ui.pages import verdict as page
from thrive.ui.render import STATIC, render


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """Where the report was written, and of what."""

    path: str
    model: str
    version: int
    answer: str


@operation("gates report", kind=Kind.CLIENT, role=ANYONE)
def report(ctx: Context, verdict: str, *, html: Path) -> Reported:
    """Write a verdict as one HTML file with its plots; it loads nothing from elsewhere.

    Args:
        verdict: a file of `gates run --json FILE`, MODEL or MODEL@VERSION, or a verdict's id.
        html: the file to write.

    Examples:
        thrive gates report gate.json --html gate.html
        thrive gates report flight-delay@3 --html gate.html
    """
    found = _found(ctx, verdict)
    target = ctx.local_folder() / html
    target.write_text(as_html(found), encoding="utf-8")
    return Reported(
        path=str(target), model=found.model, version=found.version, answer=found.answer.value
    )


def as_html(found: Verdict) -> str:
    """Return a verdict as a page that stands for itself."""
    sheet = (STATIC / "thrive.css").read_text(encoding="utf-8")
    return render("verdict_report.html", None, found, sheet=Markup(sheet))  # noqa: S704 - our own


def _found(ctx: Context, verdict: str) -> Verdict:
    if is_id(verdict):
        return page.load(ctx, verdict).verdict
    file = ctx.local_folder() / verdict
    if verdict.endswith(".json") or file.is_file():
        return read_gate_file(file).verdict
    name, number = parse_reference(verdict)
    with ctx.read() as tx:
        found = gates.find_verdicts(tx, ctx.project_id, name, number, limit=1)
    if not found:
        raise NotFound(f"There is no verdict on {verdict}.", f"thrive gates run {verdict}")
    return found[0]
