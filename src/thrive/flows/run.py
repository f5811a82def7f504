"""The command `thrive run`: its process is begun first, then what records it is imported."""

from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.actor import BUILDERS
from thrive.domain.errors import UsageError
from thrive.flows.order import CachePolicy, EngineName, Order, RunResult, launch
from thrive.flows.terminal import show_on_terminal
from thrive.operations import Context, Kind, PathText, operation
from thrive.store.quick_imports import quick_imports


@operation("run", role=BUILDERS, kind=Kind.CLIENT, writes=True)
def run(
    ctx: Context,
    target: PathText,
    params: list[str] | None = None,
    *,
    experiment: str = "",
    config: Path | None = None,
    set_: list[str] | None = None,
    no_cache: bool = False,
    verify_cache: str = "",
    engine: EngineName = EngineName.LOCAL,
    address: str = "",
    gates: bool = False,
) -> RunResult:
    """Run a pipeline, a script or a notebook: code, data, parameters, metrics are recorded.

    A step whose code, inputs and seed are those of an earlier run is not executed again: its
    result is used. `thrive runs why` says what changed where it was. A file without a @pipeline
    is executed as it is, in a fresh process; a notebook from top to bottom. With --gates the exit
    code is that of the worst verdict: 0 pass, 1 fail, 3 cannot tell.

    Args:
        ctx: the context of the call.
        target: FILE with one @pipeline, FILE:PIPELINE, a script, or a notebook.
        params: parameters of the pipeline, e.g. --rate 0.05; words for a script.
        experiment: the name to compare the run under; that of the pipeline if not given.
        config: a TOML or JSON file with parameters, and options of steps in [steps.NAME].
        set_: an option of a step, e.g. --set fit.cpu=4.
        no_cache: execute every step.
        verify_cache: the share of known results to execute again and compare, e.g. 5%.
        engine: where steps run: local, or ray (an extra: the nodes of a Ray cluster).
        address: the cluster: ray://HOST:10001, HOST:6379; of the settings if not given.
        gates: have the gates judge what it registered, against what is in production.

    Examples:
        thrive run train.py
        thrive run train.py --gates
        thrive run train.py --until 2013-05-01 --experiment proxies
        thrive run train.py --config night.toml --set fit.memory=4G
        thrive run train.py --verify-cache 5%
        thrive run train.py --engine ray --address ray://cluster:10001
        thrive run explore.ipynb --rate 0.05
    """
    values, options = settings_of(config, set_ or [])
    order = Order(
        target=target,
        params=params or [],
        values=values,
        options=options,
        experiment=experiment,
        policy=CachePolicy(use=not no_cache, verify=parse_share(verify_cache)),
        engine=engine,
        address=address,
    )
    launched = launch(order, ctx.local_folder())
    with launched.engine:
        with quick_imports():
            from thrive.flows.train import execute_and_tell

        found = execute_and_tell(ctx, order, show_on_terminal, launched)
    return judged(ctx, found) if gates else found


def judged(ctx: Context, found: RunResult) -> RunResult:
    """Have the gates judge what a run registered, and return its result with their verdicts.

    Raises:
        UsageError: a version has no evaluation table.
    """
    from thrive.flows.gating import judge_registered

    return msgspec.structs.replace(found, verdicts=judge_registered(ctx, found.models))


def settings_of(
    config: Path | None, assignments: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return parameters and options of steps that were set beside the command line's own."""
    if config is None and not assignments:
        return {}, {}
    from thrive.training.config import read_config

    given = read_config(config, assignments)
    return given.values, given.options


def parse_share(text: str) -> float:
    """Return a share such as `5%` or `0.05` as a number."""
    try:
        number = float(text.removesuffix("%") or 0) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise UsageError(f"{text!r} is no share.", "write --verify-cache 5%")
    return number
