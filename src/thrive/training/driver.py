"""The program of a run's child processes: import the file, run the pipeline, run each step."""

import pickle
import sys
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from thrive.domain.errors import UsageError
from thrive.engines import channel
from thrive.engines.channel import Channel
from thrive.engines.environment import (
    computing,
    record_environment,
    thread_names,
    thread_pools,
)
from thrive.engines.failures import Failure, describe
from thrive.engines.usage import used_here
from thrive.training import sources
from thrive.training.artifacts import ArtifactStore, Ref, decode, encode
from thrive.training.calls import code_of, plain, watch_of
from thrive.training.declare import Pipeline, declared_steps, find_step, set_options
from thrive.training.discover import load_pipeline
from thrive.training.options import Isolation
from thrive.training.outputs import keep_result
from thrive.training.parameters import parse_parameters
from thrive.training.sameness import compare
from thrive.training.seeds import sow
from thrive.training.watch import Watch, watching

SEED_PARAMETER = "seed"


class _Prepared:
    pipeline: Pipeline[..., Any]
    params: dict[str, Any]
    computing: frozenset[str]


def prepare(arguments: dict[str, Any]) -> dict[str, Any]:
    """Import the pipeline's file and read its parameters; compute nothing.

    Args:
        arguments: `file`, `pipeline` (may be empty), `parameters` (as typed), `values`
            (parameters as values), `options` (of steps, by step), `seed` (of the run, or None).

    Returns:
        codes: what each declared step stands on; afar: the steps that only a cluster runs;
        pipeline: its name; params: plain values; seed: that of the run; environment: the record;
        modules: the project's files; registers: whether one of them speaks of registering.
    """
    file = Path(arguments["file"])
    _Prepared.pipeline = load_pipeline(file, arguments["pipeline"])
    _refuse_computing(file.name)
    function, typed = _Prepared.pipeline.function, arguments["parameters"]
    _Prepared.params = parse_parameters(function, typed, arguments["values"])
    set_options(arguments["options"])
    seed = _Prepared.params.get(SEED_PARAMETER, arguments["seed"])
    sources.remember()
    modules = _project_modules(file.parent)
    ready = {
        "codes": _codes(),
        "afar": _afar(),
        "pipeline": _Prepared.pipeline.name,
        "params": {name: _plain(value) for name, value in _Prepared.params.items()},
        "seed": seed if isinstance(seed, int) else 0,
        "environment": record_environment(),
        "modules": modules,
        "registers": any("register(" in sources.text_of(each) for each in modules),
    }
    _Prepared.computing = computing()
    _warm_up()
    return ready


def _warm_up() -> None:
    """Do once what every step does first: each fork would do it again in memory of its own."""
    kind, parts = encode(0, "nothing")
    data = b"".join(parts)
    ref = Ref(kind=kind, digest=blake3(data).hexdigest(), size=len(data), data=data)
    (known,) = msgspec.convert([plain(ref)], list[Ref])
    decode(known.kind, known.data)
    msgspec.convert({}, dict[str, Ref])
    with watching(Watch(())):
        pass


def _codes() -> dict[str, Any]:
    """Return what each step stands on, as imported: nothing that happens later changes it."""
    steps = declared_steps()
    for step in steps.values():
        _ = step.outputs  # what cannot be read is said before anything is executed
    return {key: code_of(step) for key, step in steps.items()}


def _afar() -> list[str]:
    declared = declared_steps().values()
    return sorted(step.name for step in declared if step.options.isolation is Isolation.RAY)


def _refuse_computing(name: str) -> None:
    """Refuse a file that has started Polars threads: they are lost in a fork, which then hangs."""
    if any(thread.startswith("polars-") and thread[7:].isdigit() for thread in thread_names()):
        raise UsageError(
            f"{name} computes with Polars while it is imported, so its steps would hang.",
            "move that into a step or into the pipeline function",
        )


def _plain(value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, enc_hook=str)
    except (TypeError, ValueError):
        return str(value)


def _project_modules(folder: Path) -> list[str]:
    """Return the files under the project's folder that the import reached."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    inside = (Path(file) for file in files if file)
    return sorted(
        str(path)
        for path in inside
        if path.is_relative_to(folder) and "site-packages" not in path.parts
    )


def perform(work: dict[str, Any]) -> None:
    """Run the pipeline function, or one step; say how it ended."""
    link = channel.current()
    assert link is not None
    sow(work["seed"])
    try:
        if work["role"] == "pipeline":
            _Prepared.pipeline.function(**_Prepared.params)
            link.send("finished", threads=_late_threads())
        elif work["role"] == "compare":
            link.send("compared", found=_compared(link, work["pairs"], work["tolerance"]))
        else:
            _perform_step(link, work)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
        known: Failure | None = getattr(error, "thrive_failure", None)
        failure = known or describe(error, task=work["name"])
        link.send("failed", failure=msgspec.to_builtins(failure), exception=_pickled(error))


def _perform_step(link: Channel, work: dict[str, Any]) -> None:
    store = ArtifactStore.of(link)
    args = [store.fetch(ref) for ref in msgspec.convert(work["args"], list[Ref])]
    kwargs = msgspec.convert(work["kwargs"], dict[str, Ref])
    named = {name: store.fetch(ref) for name, ref in kwargs.items()}
    step = find_step(work["key"])
    watch = watch_of(link, step)
    with watching(watch):
        result = step.function(*args, **named)
    kept = plain(keep_result(store, work["name"], step.outputs, result, in_row=work["in_row"]))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # the run may be over before this process is
    told = {"undeclared": watch.found, "used": used_here(), "threads": _late_threads()}
    link.send("result", ref=kept, **told)


def _late_threads() -> list[dict[str, Any]]:
    """Return the thread pools if libraries that bring some were imported after the file was."""
    return thread_pools() if computing() != _Prepared.computing else []


def _compared(link: Channel, pairs: list[Any], tolerance: float) -> list[dict[str, Any]]:
    """Return how far the values of each pair of references are the same."""
    store = ArtifactStore.of(link)
    found: list[dict[str, Any]] = []
    for pair in pairs:
        first, second = (store.fetch(ref) for ref in msgspec.convert(pair, list[Ref]))
        found.append(msgspec.to_builtins(compare(first, second, tolerance)))
    return found


def _pickled(error: BaseException) -> bytes:
    try:
        data = pickle.dumps(error)
        pickle.loads(data)  # noqa: S301 - our own bytes: some classes pickle but never come back
    except Exception:  # noqa: BLE001 - then its words travel alone
        return b""
    return data
