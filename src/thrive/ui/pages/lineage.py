"""Lineage: what is downstream of this, and what is it made from?"""

from collections.abc import Mapping
from functools import cached_property
from urllib.parse import quote

import msgspec

from thrive.domain.errors import NotFound, UsageError
from thrive.domain.reference import format_reference, parse_reference
from thrive.domain.run import Use
from thrive.flows.facts import one_model
from thrive.flows.health import assess, worst
from thrive.operations import Context
from thrive.registry.stages import champion
from thrive.store import datasets, features, models, releases, runs
from thrive.store.database import Tx

MOST = 60
"""Things in one picture; what lies farther away is counted."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One thing: `state` colours it, `said` is a line below its name."""

    key: str
    kind: str
    name: str
    said: str
    state: str
    link: str


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """`source` was used to make `target`."""

    source: str
    target: str


class LineagePage(msgspec.Struct, frozen=True, kw_only=True):
    """What leads to a thing and what follows from it; without one, where to begin.

    Attributes:
        of: what was asked for, as `model:NAME@VERSION`, `data:NAME@VERSION` or `run:ID`.
        cut: there is more than the picture shows.
        starts: things to begin at.
    """

    now: int
    of: str
    nodes: list[Node]
    edges: list[Edge]
    cut: bool
    starts: list[Node]


def load(ctx: Context, words: Mapping[str, str]) -> LineagePage:
    """Return the lineage of a thing.

    Raises:
        NotFound: there is no such thing.
        UsageError: it is named in another way.
    """
    of = words.get("of", "")
    if not of:
        return LineagePage(now=ctx.now(), of="", nodes=[], edges=[], cut=False, starts=_starts(ctx))
    kind, _, name = of.partition(":")
    if kind not in {"model", "data", "run", "view"} or not name:
        raise UsageError(
            f"{of[:60]!r} names nothing.", "write model:NAME@VERSION, data:NAME@VERSION or run:ID"
        )
    with ctx.read() as tx:
        walk = _Walk(ctx, tx)
        walk.begin(kind, name)
    return LineagePage(
        now=ctx.now(),
        of=of,
        nodes=list(walk.nodes.values()),
        edges=walk.edges,
        cut=walk.cut,
        starts=[],
    )


def _starts(ctx: Context) -> list[Node]:
    with ctx.read() as tx:
        named = [(each.name, "model") for each in models.find(tx, ctx.project_id)]
        named += [(each.name, "data") for each in datasets.find(tx, ctx.project_id)]
    return [
        Node(
            key=f"{kind}:{name}",
            kind=kind,
            name=name,
            said="",
            state="",
            link=f"/lineage?of={kind}:{quote(name)}",
        )
        for name, kind in named[:MOST]
    ]


class _Walk:
    """Follows the records from one thing in both directions, breadth first."""

    def __init__(self, ctx: Context, tx: Tx) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.cut = False
        self._ctx, self._tx, self._project = ctx, tx, ctx.project_id
        self._waiting: list[str] = []
        self._healths: dict[str, str] = {}

    def begin(self, kind: str, name: str) -> None:
        if kind == "run":
            self._run(runs.get(self._tx, self._project, name).run_id)
        elif kind == "view":
            self._view(name)
        else:
            bare, number = parse_reference(name)
            find = models.get_version if kind == "model" else datasets.get_version
            found = find(self._tx, self._project, bare, number)
            self._add_version(kind, bare, found.version)
        while self._waiting:
            kind, _, name = self._waiting.pop(0).partition(":")
            self._follow(kind, name)
        known = {(edge.source, edge.target) for edge in self.edges}
        self.edges = [
            Edge(source=source, target=target)
            for source, target in sorted(known)
            if source in self.nodes and target in self.nodes
        ]

    def _follow(self, kind: str, name: str) -> None:
        if kind == "run":
            for use in runs.find_uses(self._tx, self._project, name):
                self._use(f"run:{name}", use)
            for label in self._made.get(name, []):
                self._join(f"run:{name}", "model", label)
            return
        bare, number = parse_reference(name)
        if kind == "data":
            digest = datasets.get_version(self._tx, self._project, bare, number).digest
            for run_id, direction in runs.runs_using(self._tx, self._project, digest):
                self._link(f"data:{name}", f"run:{run_id}", forward=direction == "in")
                self._run(run_id)
        elif kind == "model":
            version = models.get_version(self._tx, self._project, bare, number)
            if version.run_id:
                self._link(f"run:{version.run_id}", f"model:{name}", forward=True)
                self._run(version.run_id)
            self._live(bare, version.version)

    @cached_property
    def _made(self) -> dict[str, list[str]]:
        """The versions that each run made."""
        made: dict[str, list[str]] = {}
        for each in models.every_version(self._tx, self._project):
            made.setdefault(each.run_id, []).append(format_reference(each.model, each.version))
        return made

    def _use(self, run: str, use: Use) -> None:
        if use.version is None or use.kind not in {"dataset", "model"}:
            return
        kind = "data" if use.kind == "dataset" else "model"
        label = format_reference(use.name, use.version)
        try:
            self._add_version(kind, use.name, use.version)
        except NotFound:  # the version was taken from the books; the run still names it
            return
        self._link(f"{kind}:{label}", run, forward=use.direction == "in")

    def _join(self, run: str, kind: str, label: str) -> None:
        name, number = parse_reference(label)
        assert number is not None
        self._add_version(kind, name, number)
        self._link(run, f"{kind}:{label}", forward=True)

    def _link(self, one: str, other: str, *, forward: bool) -> None:
        source, target = (one, other) if forward else (other, one)
        self.edges.append(Edge(source=source, target=target))

    def _add(self, node: Node, *, follow: bool = True) -> None:
        if node.key in self.nodes:
            return
        if len(self.nodes) >= MOST:
            self.cut = True
            return
        self.nodes[node.key] = node
        if follow:
            self._waiting.append(node.key)

    def _add_version(self, kind: str, name: str, number: int) -> None:
        label = format_reference(name, number)
        if kind == "model":
            models.get_version(self._tx, self._project, name, number)
            self._add(
                Node(
                    key=f"model:{label}",
                    kind="model",
                    name=label,
                    said="version",
                    state=self._health(name, number),
                    link=f"/models/{quote(name)}/versions#v{number}",
                )
            )
            return
        found = datasets.get_version(self._tx, self._project, name, number)
        self._add(
            Node(
                key=f"data:{label}",
                kind="data",
                name=label,
                said=f"{found.rows:,} rows",
                state="" if found.trainable else "held",
                link=f"/data/{quote(name)}?version={number}",
            )
        )

    def _run(self, run_id: str) -> None:
        run = runs.get(self._tx, self._project, run_id)
        self._add(
            Node(
                key=f"run:{run.run_id}",
                kind="run",
                name=run.name or run.run_id[-8:],
                said=run.experiment,
                state=run.state.value,
                link=f"/runs/{run.run_id}",
            )
        )

    def _view(self, name: str) -> None:
        view = features.get(self._tx, self._project, name)
        key = f"view:{name}@{view.version}"
        node = Node(key=key, kind="view", name=name, said="feature view", state="", link="/lineage")
        self._add(node, follow=False)

    def _live(self, name: str, number: int) -> None:
        table = releases.current_routing(self._tx, self._project, name)
        variants = table.variants if table else []
        for each in variants:
            if each.version == number:
                said = "shadow" if each.shadow else f"{each.share:.0%} of the traffic"
                key = f"live:{name}@{number}"
                self._add(
                    Node(
                        key=key,
                        kind="live",
                        name=name,
                        said=said,
                        state=self._health(name, number),
                        link=f"/models/{quote(name)}",
                    ),
                    follow=False,
                )
                self._link(f"model:{format_reference(name, number)}", key, forward=True)

    def _health(self, name: str, number: int) -> str:
        """Return the health of the version in production, asked for once; "" for another."""
        history = releases.routing_history(self._tx, self._project, name)
        if champion(history) != number:
            return ""
        if name not in self._healths:
            decisive = worst(assess(one_model(self._ctx, name)))
            self._healths[name] = decisive.health.value if decisive is not None else ""
        return self._healths[name]
