"""From a page's model to its HTML: the templates, and the words they use."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from thrive.domain.clock import ClockMode, format_moment
from thrive.gates.formats.wording import settles, worst_first
from thrive.governance.law import short_name
from thrive.operations import Context
from thrive.store import changes
from thrive.ui import acts, charts, drawings, gate_charts, words
from thrive.ui.evidence import facts_of
from thrive.ui.forms import form_key
from thrive.ui.pages import runs, waiting
from thrive.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
STATIC = HERE / "static"

ICONS = {
    "ok": "✓",
    "watch": "!",
    "unhealthy": "✕",
    "cannot tell": "?",
    "pass": "✓",
    "fail": "✕",
    "done": "✓",
    "failed": "✕",
    "running": "▸",
    "held": "‖",
    "rolled back": "↩",
    "interrupted": "■",
    "open": "●",
    "decided": "◆",
    "closed": "✓",
    "alert": "●",
    "notice": "○",
    "decision": "◆",
    "approval": "✎",
    "exception": "◇",
    "incident": "!",
    "data": "▤",
    "owner": "☺",
    "release": "▲",
    "production": "▲",
    "staging": "△",
    "dev": "·",
    "retired": "■",
    "cached": "≡",
    "waiting": "…",
    "cancelled": "■",
    "muted": "∅",
    "missing": "?",
    "excepted": "◇",
    "met": "✓",
    "not worse": "✓",
    "worse": "✕",
}
"""A sign for each state, so that colour never speaks alone."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What every page shows around its own content.

    Attributes:
        viewer: who looks at it.
        may: the operations that this viewer may do from pages; none without a session.
        key: what forms carry, "" without a session.
        done: what was just done, in words, "" for nothing.
        seq: the newest change that the page can know of.
        leave: where a form signs the viewer out, "" where nobody signs in.
    """

    project: str
    now: int
    replay: bool
    path: str
    json_path: str
    viewer: str
    may: frozenset[str]
    key: str
    done: str
    seq: int
    leave: str = ""


def frame_of(
    ctx: Context,
    path: str,
    json_path: str,
    *,
    secret: str = "",
    done: str = "",
    leave: str = "",
) -> Frame:
    """Return the frame of a page at a path.

    Args:
        ctx: the project, and who looks at it.
        path: where the page is.
        json_path: where its model is.
        secret: of the viewer's session, "" without one.
        done: the act that led here, "" for none.
        leave: where a form signs the viewer out.
    """
    clock = ctx.home.clock()
    with ctx.read() as tx:
        seq = changes.head(tx, ctx.project_id)
    return Frame(
        project=ctx.home.project.name,
        now=clock.now(),
        replay=clock.mode is ClockMode.REPLAY,
        path=path,
        json_path=json_path,
        viewer=ctx.actor.name,
        may=acts.permitted(ctx.actor.roles) if secret else frozenset(),
        key=form_key(secret),
        done=acts.said(done),
        seq=seq,
        leave=leave,
    )


def render(template: str, frame: Frame | None, page: Any, **extra: Any) -> str:
    """Return the HTML of a page.

    Args:
        template: the name of its template.
        frame: what stands around it; None where no project could be asked.
        page: its model.
        extra: further names for the template.
    """
    return _environment().get_template(template).render(frame=frame, page=page, **extra)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(_FILTERS)
    names: Any = made.globals
    names.update(
        _GLOBALS,
        stylesheet=_static("thrive.css"),
        script=_static("app.js"),
        drawn=_static("app.css"),
    )
    return made


def _static(name: str) -> str:
    """Return the address of a file, new whenever its content is; "" where it was not built."""
    try:
        content = (STATIC / name).read_bytes()
    except FileNotFoundError:
        return ""
    return f"/static/{name}?v={blake2b(content, digest_size=6).hexdigest()}"


def runs_link(page: runs.RunsPage, **changes: str) -> str:
    """Return the address of the table of runs as it is shown, but for what changes."""
    state = {
        "experiment": page.experiment,
        "q": page.filter,
        "order": page.order,
        "columns": page.chosen,
        "group": page.group,
        "view": "" if page.view == "active" else page.view,
        **changes,
    }
    query = urlencode({name: value for name, value in state.items() if value})
    return f"/runs?{query}" if query else "/runs"


def kind_of(value: Any) -> str:
    """Return how a stored JSON value is best shown: `table`, `map`, `list`, `number` or `text`."""
    if isinstance(value, Mapping):
        return "map"
    if isinstance(value, list):
        rows = [each for each in value if isinstance(each, Mapping)]
        return "table" if rows and len(rows) == len(value) else "list"
    is_number = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return "number" if is_number else "text"


def is_numeric(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Tell whether a column of stored rows holds numbers, or nothing, and at least one number."""
    values = [row.get(key) for row in rows]
    return all(kind_of(each) == "number" for each in values) and any(
        each is not None for each in values
    )


_FILTERS: dict[str, Callable[..., Any]] = {
    "number": words.number,
    "plain": words.plain,
    "effect": words.effect,
    "chance": words.chance,
    "shortened": words.shortened,
    "percent": words.percent,
    "milliseconds": words.milliseconds,
    "size": words.size,
    "short": words.short,
    "duration": words.duration,
    "exact": words.exact,
    "day": words.day,
    "moment": format_moment,
    "relative": words.relative,
    "machine_time": words.machine_time,
    "sparkline": charts.sparkline,
    "timeline": charts.timeline,
    "heat": charts.heat,
    "slug": words.slug,
    "kind": kind_of,
    "numeric": is_numeric,
    "law": short_name,
    "signal": words.signal,
    "muted_until": waiting.muted_until,
    "is_moment": words.is_moment,
    "masked": words.masked,
    "short_id": words.short_id,
    "column_type": words.column_type,
    "field": runs.written,
    "series": drawings.series_class,
}
_GLOBALS: dict[str, Any] = {
    "icons": ICONS,
    "history": charts.history,
    "evidence": charts.evidence,
    "facts": facts_of,
    "intervals": gate_charts.intervals,
    "guards": gate_charts.guards,
    "outcomes": gate_charts.outcomes,
    "calibration": gate_charts.calibration,
    "settles": settles,
    "worst_first": worst_first,
    "bars": charts.bars,
    "act": acts.address,
    "link": runs_link,
    "graph": drawings.graph,
    "overlay": drawings.overlay,
    "parallel": drawings.parallel,
    "histogram_pair": drawings.histogram_pair,
    "share_bar": charts.share_bar,
    "version": __version__,
}
