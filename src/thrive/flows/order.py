"""An order to run something, and the process that imports what is to be run.

The process is begun before the rest of the house is imported: both take their time side by side.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from thrive.domain.gate import Answer, Judged
from thrive.domain.run import RunState
from thrive.engines.local import AHEAD, LocalEngine
from thrive.tracking.entry import Form, find_file, form_of, split_target

if TYPE_CHECKING:
    from thrive.flows.execution import Recorded
    from thrive.tracking.code import CodeFacts

PROGRAMS = {
    Form.PIPELINE: "thrive.training.driver",
    Form.SCRIPT: "thrive.training.tracked",
    Form.NOTEBOOK: "thrive.training.tracked",
}


class EngineName(StrEnum):
    """Where the steps of a run are executed."""

    LOCAL = "local"
    RAY = "ray"


class CachePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When results are used again.

    Attributes:
        use: whether they are used at all; what is executed is kept either way.
        verify: the share of known results that are executed again and compared.
        resume: the run whose finished steps count whatever their steps say of caching.
    """

    use: bool = True
    verify: float = 0.0
    resume: str = ""


ALWAYS = CachePolicy()
"""Whatever is known is used."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: what it measured, which versions it registered, what to type next.

    `notes` says what the record lacks and what stands between the versions and production;
    `verdicts` what the gates said of the versions, if they were asked to.
    """

    run_id: str
    pipeline: str
    state: RunState
    seconds: float
    metrics: dict[str, float | None]
    models: list[str]
    notes: list[str]
    verdicts: list[Judged] = []

    @property
    def exit_code(self) -> int:
        """What the command line exits with: that of the worst verdict; 0 without one."""
        answers = {each.answer for each in self.verdicts}
        if Answer.FAIL in answers:
            return 1
        return 3 if Answer.CANNOT_TELL in answers else 0

    @property
    def next_hint(self) -> str:
        """What to type next."""
        worst = next((each for each in self.verdicts if each.answer is not Answer.PASS), None)
        if worst is not None:
            return f"thrive gates explain {worst.model}"
        if self.verdicts:
            return f'thrive approvals give {self.verdicts[-1].model} --reason "..."'
        if self.models:
            return f"thrive gates run {self.models[-1]}"
        return f"thrive runs show {self.run_id}"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run, and how.

    Attributes:
        target: `FILE` or `FILE:PIPELINE`, relative to the project's folder.
        params: parameters of the pipeline, as `name=value` or `--name value`; a script's words.
        values: parameters as plain values; `params` come before them.
        options: step -> option -> value, over what `@step` says.
        experiment: the name to compare the run under; that of the pipeline if empty.
        policy: when results of earlier steps are used again.
        seed: of the run, unless the pipeline has a parameter `seed`.
        code: the record of the folder's code, where it was unpacked from an earlier run.
        tags: what else is to be kept with the run.
        environment: variables of all its processes; None takes one away.
        recorded: the run that this one repeats, to compare.
        python: the interpreter of its processes; this one if empty.
        until: the step after which it ends, with which call of that name it is (from 0).
        engine: where its steps run.
        address: of the cluster, for engines that have one.
    """

    target: str
    params: list[str] = []
    values: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    experiment: str = ""
    policy: CachePolicy = ALWAYS
    seed: int = 0
    code: "CodeFacts | None" = None
    tags: dict[str, str] = {}
    environment: dict[str, str | None] = {}
    recorded: "Recorded | None" = None
    python: str = ""
    until: tuple[str, int] | None = None
    engine: EngineName = EngineName.LOCAL
    address: str = ""


class Launched(NamedTuple):
    """The process that imports what is to be run, and what that is."""

    engine: LocalEngine
    form: Form


def launch(order: Order, folder: Path) -> Launched:
    """Begin the process that imports what is to be run; whoever calls closes it.

    Raises:
        NotFound: there is no such file.
        UsageError: it is neither a Python file nor a notebook.
    """
    file = find_file(order.target, folder)
    form = form_of(file, split_target(order.target)[1])
    engine = LocalEngine(
        PROGRAMS[form],
        arguments_of(order, file),
        folder=folder,
        environment={**variables_of(order), "PYTHONPATH": _python_path(folder)},
        python=order.python,
        ahead=AHEAD if form is Form.PIPELINE else 0,
    )
    return Launched(engine, form)


def arguments_of(order: Order, file: Path) -> dict[str, Any]:
    """Return what the program of the run's processes is told."""
    return {
        "file": str(file),
        "pipeline": split_target(order.target)[1],
        "parameters": order.params,
        "values": order.values,
        "options": order.options,
        "seed": order.seed,
    }


def variables_of(order: Order) -> dict[str, str | None]:
    """Return the variables of a run's processes; None takes one away."""
    return {**order.environment, "PYTHONHASHSEED": "0"}


def _python_path(folder: Path) -> str:
    known = os.environ.get("PYTHONPATH", "")
    return f"{folder}{os.pathsep}{known}" if known else str(folder)
