"""A recorded run outside of one command: one step of it, or all of it as a workflow."""

import tempfile
from pathlib import Path

from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.domain.run import Run, StepRecord
from thrive.flows.export.forms import Form, Workflow, write
from thrive.flows.export.graph import Node, graph_of
from thrive.flows.order import Order, RunResult
from thrive.flows.recorded_files import bring_files, files_read
from thrive.flows.terminal import show_on_terminal
from thrive.flows.train import execute_and_tell
from thrive.operations import Context, Kind, operation
from thrive.store import runs
from thrive.tracking.code import unpack_code
from thrive.tracking.entry import Form as FileForm
from thrive.tracking.entry import form_of, split_target

END = "."
"""Instead of a step: the rest of the run, to its end."""
EXECUTES = "executes"
"""The tag of a run that executes a step of another one: `RUN/STEP`."""


@operation("runs exec", role=BUILDERS, kind=Kind.CLIENT, writes=True)
def execute_step(ctx: Context, run: str, step: str = END) -> RunResult:
    """Execute a recorded run up to one of its steps: code and parameters as recorded, data of now.

    The pipeline function begins anew; steps whose results are known are used again, so that of a
    workflow each call executes one step, on whatever machine.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.
        step: the step after which it ends, by name; `add:3` for its third call; . for the end.

    Raises:
        NotFound: there is no such run or step.
        Refused: the run kept no copy of its code, or has no steps.

    Examples:
        thrive runs exec 01928374 fit
    """
    found, steps = _recorded(ctx, run)
    until = None if step == END else _named(found, steps, step)
    assert found.code is not None
    with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="exec-") as place:
        folder = Path(place)
        order = Order(
            target=found.code.entry,
            values=found.params,
            experiment=found.experiment,
            seed=found.seed,
            code=unpack_code(found.code, folder, ctx.home.blobs),
            tags={EXECUTES: f"{found.run_id}/{step}"},
            until=until,
        )
        _refuse_script(folder, found)
        bring_files(ctx, folder, files_read(steps))
        return execute_and_tell(ctx.inside(folder), order, show_on_terminal)


@operation("runs export", role=ANYONE)
def export(ctx: Context, run: str, *, to: Form, image: str) -> str:
    """Write a recorded run as a workflow of another orchestrator; each step is `runs exec`.

    The graph is that of the run as it went: a branch that it did not take is not in it.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.
        to: who executes it.
        image: a container image that holds the project's folder and Thrive.

    Raises:
        NotFound: there is no such run.
        Refused: the run kept no copy of its code, or has no steps.

    Examples:
        thrive runs export 01928374 --to argo --image registry.example.org/flights:7
    """
    found, steps = _recorded(ctx, run)
    nodes = graph_of(steps, found.seed)
    followed = {each for node in nodes for each in node.after}
    last = [node.id for node in nodes if node.id not in followed]
    free = next(name for name in ("end", "the-end", "end-of-run") if name not in _ids(nodes))
    end = Node(id=free, step=END, after=last)
    flow = Workflow(
        name=found.pipeline, run_id=found.run_id, image=_checked(image), nodes=[*nodes, end]
    )
    return write(to, flow)


def _ids(nodes: list[Node]) -> set[str]:
    return {node.id for node in nodes}


def _checked(image: str) -> str:
    if not image or any(character.isspace() for character in image):
        raise UsageError(f"{image!r} is no image.", "give --image REGISTRY/NAME:TAG")
    return image


def _recorded(ctx: Context, run: str) -> tuple[Run, list[StepRecord]]:
    with ctx.read() as tx:
        found = runs.get(tx, ctx.project_id, run)
        steps = runs.find_steps(tx, ctx.project_id, found.run_id)
    if found.code is None or not found.code.bundle:
        raise Refused(f"Run {found.run_id} has no record of its code.", "thrive run FILE")
    if not steps:
        raise Refused(f"Run {found.run_id} has no steps.", "thrive run FILE with a @pipeline")
    return found, steps


def _named(run: Run, steps: list[StepRecord], text: str) -> tuple[str, int]:
    """Return a step by name, and which call of that name it is."""
    name, _, number = text.partition(":")
    known = [node.step for node in graph_of(steps, run.seed)]
    if name not in {step.name for step in steps} or not (number.isdecimal() or not number):
        raise NotFound(f"Run {run.run_id} has no step {text!r}.", f"it has {', '.join(known)}")
    return name, max(int(number or 1) - 1, 0)


def _refuse_script(folder: Path, run: Run) -> None:
    assert run.code is not None
    file, name = split_target(run.code.entry)
    if form_of(folder / file, name) is not FileForm.PIPELINE:
        raise Refused(f"Run {run.run_id} has no steps to execute.", f"thrive run {file}")
