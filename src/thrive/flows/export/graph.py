"""The graph of a recorded run: its steps, and which of them were over when another began."""

import re
from collections.abc import Sequence

import msgspec

from thrive.domain.run import StepRecord
from thrive.training.digests import step_seed


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One step, or a whole fan-out.

    Attributes:
        id: a name of lower-case letters, digits and dashes, unique in the graph.
        step: what `runs exec` takes: `fit`, `add:3` for its third call.
        after: ids of the steps that must be over before.
        rows: how many executions a fan-out had, 1 for a step.
        positions: of the recorded steps it stands for.
    """

    id: str
    step: str
    after: list[str]
    rows: int = 1
    positions: list[int] = []


class _Span(msgspec.Struct, kw_only=True):
    name: str
    ordinal: int
    began: int
    ended: int
    position: int
    positions: list[int]
    rows: int = 1


def graph_of(steps: Sequence[StepRecord], seed: int) -> list[Node]:
    """Return the graph of a run in the order in which its steps began.

    A step that began when another was over may follow from it: what was recorded side by side
    stays side by side, all else keeps its order.

    Args:
        steps: those of the run.
        seed: that of the run: with it the seed of a step says which call of its name it was.
    """
    spans = _spans(steps, seed)
    before = [
        {
            other
            for other in range(place)
            if spans[other].ended <= spans[place].began
            and spans[other].position < spans[place].position
        }
        for place in range(len(spans))
    ]
    ids = [_id_of(span) for span in spans]
    nodes: list[Node] = []
    for place, span in enumerate(spans):
        further = set[int]().union(*(before[each] for each in before[place]))
        after = [ids[each] for each in sorted(before[place] - further)]
        label = span.name if span.ordinal == 0 else f"{span.name}:{span.ordinal + 1}"
        nodes.append(
            Node(
                id=ids[place],
                step=label,
                after=after,
                rows=span.rows,
                positions=span.positions,
            )
        )
    return nodes


def _spans(steps: Sequence[StepRecord], seed: int) -> list[_Span]:
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.name] = counts.get(step.name, 0) + 1
    ordinals = {
        (name, step_seed(seed, name, number)): number
        for name, count in counts.items()
        for number in range(count)
    }
    placed = [(ordinals.get((step.name, step.seed), 0), step) for step in steps]
    found: list[_Span] = []
    rows: dict[str, _Span] = {}
    for ordinal, step in sorted(placed, key=lambda each: (each[1].name, each[0])):
        ended = step.ended_at or step.started_at
        if step.index and step.name in rows:
            span = rows[step.name]
            span.rows += 1
            span.positions.append(step.position)
            span.began = min(span.began, step.started_at)
            span.ended = max(span.ended, ended)
            continue
        span = _Span(
            name=step.name,
            ordinal=ordinal,
            began=step.started_at,
            ended=ended,
            position=step.position,
            positions=[step.position],
        )
        if step.index is not None:
            rows[step.name] = span
        found.append(span)
    return sorted(found, key=lambda span: span.position)


def _id_of(span: _Span) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", span.name.lower()).strip("-") or "step"
    return plain if span.ordinal == 0 else f"{plain}-{span.ordinal + 1}"
