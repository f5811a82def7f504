"""Sweeps: a pipeline with many parameters, each trial a run of its own.

Trials share the results of steps that do not follow from what is varied: the cache key of a step
says so by itself.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import islice
from typing import Any

import msgspec

from thrive.domain.actor import BUILDERS
from thrive.domain.errors import NotRight, UsageError
from thrive.domain.gate import Judged
from thrive.domain.identifiers import new_id
from thrive.domain.reference import format_reference
from thrive.domain.run import RunState
from thrive.flows.order import EngineName, Order
from thrive.flows.terminal import show_on_terminal
from thrive.flows.train import finish, start
from thrive.operations import Context, Kind, PathText, operation
from thrive.store import runs
from thrive.training.spaces import MedianRule, Space, draws, grid, read_space

SWEEP = "sweep"
"""The tag of a trial: the id of its sweep."""
MOST_TRIALS = 10_000


class By(StrEnum):
    """How a sweep chooses."""

    GRID = "grid"
    RANDOM = "random"
    OPTUNA = "optuna"


class Better(StrEnum):
    """Which values of the metric are better."""

    LARGER = "larger"
    SMALLER = "smaller"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a sweep; `value` is the metric at its end, None where it has none."""

    run_id: str
    params: dict[str, str]
    state: RunState
    value: float | None
    models: list[str] = []


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a sweep.

    Attributes:
        sweep_id: the tag of its runs.
        best: the run of the best trial that came to its end.
        params: what it was given.
        value: its metric.
        models: the versions that it registered.
        verdicts: what the gates said of them, if they were asked to.
        pruned: how many trials were stopped early.
        failed: how many failed.
        trials: all of them, in the order in which they ran.
    """

    sweep_id: str
    best: str
    params: dict[str, str]
    value: float
    models: list[str]
    verdicts: list[Judged]
    pruned: int
    failed: int
    trials: list[Trial]

    @property
    def next_hint(self) -> str:
        """What to type next."""
        if self.verdicts:
            return f"thrive gates show {self.verdicts[-1].model}"
        last = self.models[-1:] or [""]
        return f"thrive gates run {last[0]}" if last[0] else f"thrive runs show {self.best}"


@operation("sweeps start", role=BUILDERS, kind=Kind.CLIENT, writes=True)
def start_sweep(
    ctx: Context,
    target: PathText,
    params: list[str] | None = None,
    *,
    over: list[str],
    metric: str,
    better: Better = Better.LARGER,
    by: By = By.RANDOM,
    trials: int = 20,
    prune: bool = False,
    gates: bool = False,
    experiment: str = "",
    seed: int = 0,
    engine: EngineName = EngineName.LOCAL,
    address: str = "",
) -> Sweep:
    """Run a pipeline with many parameters and say which were best; each trial is a run.

    What does not follow from the varied parameters is executed once. A trial that fails does not
    stop the others.

    Args:
        ctx: the context of the call.
        target: FILE with one @pipeline, or FILE:PIPELINE.
        params: parameters that all trials share, e.g. --until 2013-05-01.
        over: what is varied: depth=2..8, rate=0.1..0.9, alpha=log(1e-3,10), kind=gini,entropy.
        metric: the metric that decides.
        better: which values of it are better.
        by: grid (every combination), random, or optuna (an extra: it learns from earlier trials).
        trials: how many at most.
        prune: stop a trial that is worse than the median of the others at the same step.
        gates: have the gates judge what the best trial registered.
        experiment: the name to compare the runs under; that of the pipeline if not given.
        seed: of the choice, and of each trial.
        engine: where the steps of trials run: local, or ray.
        address: the Ray cluster; that of the settings if not given.

    Raises:
        UsageError: a space cannot be read, or no trial logged the metric.
        NotRight: no trial came to its end.

    Examples:
        thrive sweeps start train.py --over 'rate=log(1e-3,1)' --over depth=2..8 --metric roc_auc
        thrive sweeps start train.py --over rate=0.1,1,10 --by grid --metric loss --better smaller
        thrive sweeps start train.py --over depth=2..8 --metric roc_auc --by optuna --gates
    """
    if not 1 <= trials <= MOST_TRIALS:
        raise UsageError(f"{trials} trials cannot be run.", f"give 1 to {MOST_TRIALS}")
    largest = better is Better.LARGER
    rule = MedianRule(largest=largest) if prune else None
    order = Order(
        target=target,
        params=params or [],
        experiment=experiment,
        seed=seed,
        engine=engine,
        address=address,
    )
    sweep = _Sweep(ctx, order, metric, rule)
    spaces = [read_space(text) for text in over]
    for chosen, tell in islice(choices(by, spaces, largest=largest, seed=seed), trials):
        trial = sweep.run(chosen)
        tell(trial.value if trial.state is RunState.DONE else None)
        ctx.progress(min(0.99, len(sweep.trials) / trials), f"{len(sweep.trials)} trials")
    found = sweep.ended(largest=largest)
    if not gates:
        return found
    from thrive.flows.gating import judge_registered

    return msgspec.structs.replace(found, verdicts=judge_registered(ctx, found.models))


Told = Callable[[float | None], None]


def choices(
    by: By, spaces: list[Space], *, largest: bool, seed: int
) -> Iterator[tuple[dict[str, str], Told]]:
    """Yield what each trial gets, and what is to be told its value: None if it has none.

    Args:
        by: how it is chosen.
        spaces: what is varied.
        largest: whether larger values are better.
        seed: of the choice.

    Raises:
        UsageError: a grid has no end, a parameter is varied twice, or Optuna is not installed.
    """
    names = [space.name for space in spaces]
    if not names or len({*names}) < len(names):
        raise UsageError("Each parameter is varied once.", "write --over depth=2..8")
    if by is By.OPTUNA:
        yield from _by_optuna(spaces, largest=largest, seed=seed)
        return
    for chosen in grid(spaces) if by is By.GRID else draws(spaces, seed):
        yield chosen, _unheard


def _unheard(_value: float | None) -> None:
    return


def _by_optuna(
    spaces: list[Space], *, largest: bool, seed: int
) -> Iterator[tuple[dict[str, str], Told]]:
    try:
        import optuna
    except ImportError:
        raise UsageError("Optuna is not installed.", "pip install 'thrive[sweeps]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if largest else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    while True:
        trial = study.ask()
        chosen = {space.name: _suggested(trial, space) for space in spaces}

        def tell(value: float | None, trial: Any = trial) -> None:
            failed = optuna.trial.TrialState.FAIL
            study.tell(trial, value, state=failed if value is None else None)

        yield chosen, tell


def _suggested(trial: Any, space: Space) -> str:
    if space.choices:
        return trial.suggest_categorical(space.name, space.choices)
    if space.whole:
        return str(trial.suggest_int(space.name, int(space.low), int(space.high)))
    return repr(trial.suggest_float(space.name, space.low, space.high, log=space.log))


class _Sweep:
    """A sweep on its way."""

    def __init__(self, ctx: Context, order: Order, metric: str, rule: MedianRule | None) -> None:
        self._ctx = ctx
        self._order = order
        self._metric = metric
        self._rule = rule
        self._id = new_id()
        self.trials: list[Trial] = []

    def run(self, chosen: dict[str, str]) -> Trial:
        """Run one trial to its end, whatever that is; a pipeline that cannot start is raised."""
        given = [f"{name}={value}" for name, value in chosen.items()]
        order = msgspec.structs.replace(
            self._order, params=[*self._order.params, *given], tags={SWEEP: self._id}
        )
        started = start(self._ctx, order, show_on_terminal)
        curve: dict[int, float] = {}
        started.execution.judge = lambda points: self._stops(curve, points)
        with started.engine:
            try:
                run = finish(started)
            except NotRight:
                run = started.recorder.run
        if self._rule is not None and run.state is RunState.DONE and curve:
            self._rule.completed(curve)
        versions = started.execution.versions
        trial = Trial(
            run_id=run.run_id,
            params=chosen,
            state=run.state,
            value=run.metrics.get(self._metric),
            models=[format_reference(each.model, each.version) for each in versions],
        )
        self.trials.append(trial)
        return trial

    def _stops(self, curve: dict[int, float], points: list[dict[str, Any]]) -> bool:
        """Take in what a trial logged; tell whether it is to be stopped."""
        if self._rule is None:
            return False
        for point in points:
            if point["key"] == self._metric and point["value"] is not None:
                curve[point["step"]] = point["value"]
        return self._rule.stops(curve)

    def _why(self) -> str:
        """Return what the last trial failed with, to stand at the end of a sentence."""
        with self._ctx.read() as tx:
            error = runs.get(tx, self._ctx.project_id, self.trials[-1].run_id).error
        lines = error.strip().splitlines()
        return f": {lines[0].strip()}" if lines else "."

    def ended(self, *, largest: bool) -> Sweep:
        """Return what came of it."""
        done = [each for each in self.trials if each.state is RunState.DONE]
        if not done:
            raise NotRight(
                f"No trial came to its end{self._why()}",
                f"thrive runs logs {self.trials[-1].run_id}",
            )
        measured = [(each.value, each) for each in done if each.value is not None]
        if not measured:
            raise UsageError(f"No trial logged {self._metric!r}.", f"log({self._metric}=...)")
        value, best = (max if largest else min)(measured, key=lambda pair: pair[0])
        states = [each.state for each in self.trials]
        return Sweep(
            sweep_id=self._id,
            best=best.run_id,
            params=best.params,
            value=value,
            models=best.models,
            verdicts=[],
            pruned=states.count(RunState.INTERRUPTED),
            failed=states.count(RunState.FAILED),
            trials=self.trials,
        )
