"""Evidence of how it was built and tested: steps, design, tests, limits, changes."""

from collections.abc import Iterator
from typing import Any

from thrive.contract.schema import GateTerms, ModelTerms
from thrive.domain.clock import SECOND, format_duration
from thrive.domain.gate import Answer, CheckResult
from thrive.domain.monitoring import AlertState
from thrive.domain.run import Run
from thrive.governance.evidence.registry import query
from thrive.governance.facts import Fact, in_contract, in_registry, stated
from thrive.governance.records import Records
from thrive.packaging.signature import OutputKind

TOP_FEATURES = 12
SHOWN_RUNS = 120
PICKLED = "pickle"


def _run(records: Records) -> str:
    return f"run:{records.version.run_id or 'none'}"


def _package(records: Records) -> str:
    return f"package:{records.version.package or 'none'}"


def results(records: Records, *groups: str) -> list[CheckResult]:
    """Return what the newest verdict found in some groups of checks; all without any."""
    found = records.verdict.results if records.verdict else []
    return [one for one in found if not groups or one.group in groups]


def verdict_source(records: Records) -> str:
    """Return the source of what the newest verdict says."""
    return f"verdict:{records.verdict.verdict_id if records.verdict else 'none'}"


def _checked(records: Records, title: str, *groups: str) -> Iterator[Fact]:
    found = results(records, *groups)
    if not found:
        yield stated(title, None, verdict_source(records))
    for one in found:
        words = f"{one.answer.value}. {one.summary}"
        yield stated(f"{one.group}: {one.check}", words, verdict_source(records))


@query("steps")
def steps(records: Records) -> Iterator[Fact]:
    """Yield the pipeline with its code and the steps as they were run."""
    version, run = records.version, records.run
    state = "from files that were not committed" if version.dirty else "committed"
    commit = f"{version.commit} ({state})" if version.commit else None
    yield stated("Code", commit, in_registry(records))
    yield stated("Pipeline", run and run.pipeline, _run(records))
    made = [f"{each.label} ({each.state.value})" for each in records.steps]
    whole = [f"one process ({run.state.value})"] if run and not made else []
    yield stated("Steps", made or whole, f"{_run(records)}#steps")


@query("base-models")
def base_models(records: Records) -> Iterator[Fact]:
    """Yield models of others that the run read."""
    read = [each for each in records.uses if each.kind == "model" and each.direction == "in"]
    for each in read:
        yield stated(f"Base model {each.name}", each.digest, f"{_run(records)}#uses")
    if not read:
        none = "none was read by the run" if records.run else None
        yield stated("Base models", none, f"{_run(records)}#uses")


@query("design")
def design(records: Records) -> Iterator[Fact]:
    """Yield algorithm, parameters, threshold and what matters to it."""
    version, manifest = records.version, records.manifest
    at = f"model.{version.model}.target"
    yield stated("Algorithm", manifest and _algorithm(manifest.extra, manifest), _package(records))
    yield stated("Parameters", _parameters(records.run), f"{_run(records)}#params")
    yield stated("Decides yes from", decides_from(records), in_contract(records, f"{at}.threshold"))
    ranked = sorted(version.importance.items(), key=lambda item: -item[1])[:TOP_FEATURES]
    shown = [f"{name} {value:.3g}" for name, value in ranked]
    yield stated("Most important inputs", shown, in_registry(records))


def decides_from(records: Records) -> str | None:
    """Return from which score on the answer is yes; a model that answers no score has none."""
    if records.terms is None:
        return None
    output = records.manifest.signature.output.kind if records.manifest else OutputKind.PROBABILITY
    if output is not OutputKind.PROBABILITY:
        return f"no score: it answers a {output.value}"
    return str(records.terms.target.threshold)


def _algorithm(extra: dict[str, Any], manifest: Any) -> str:
    named = extra.get("estimator") or extra.get("kind")
    return f"{manifest.model_format}: {named}" if named else str(manifest.model_format)


def _parameters(run: Run | None) -> dict[str, Any] | str | None:
    if run is None:
        return None
    return run.params or "none were given"


@query("tried")
def tried(records: Records) -> Iterator[Fact]:
    """Yield the other runs of the experiment: what was tried and lost, each by its id."""
    if records.run is None:
        yield stated("Runs tried", None, _run(records))
        return
    count = len(records.tried)
    others = f"{count} other run{'' if count == 1 else 's'}"
    words = f"{others} of the experiment {records.run.experiment!r}"
    yield stated("Runs tried", words, f"{_run(records)}#experiment")
    for one in records.tried[:SHOWN_RUNS]:
        metrics = ", ".join(f"{key} {_number(value)}" for key, value in sorted(one.metrics.items()))
        said = f"{one.state.value}{': ' if metrics else ''}{metrics}"
        yield stated(f"Tried {one.name or one.run_id[:12]}", said, f"run:{one.run_id}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


@query("compute")
def compute(records: Records) -> Iterator[Fact]:
    """Yield processor time, memory and duration of training."""
    run = records.run
    took = run.ended_at - run.started_at if run and run.ended_at else None
    yield stated("Duration", format_duration(took) if took is not None else None, _run(records))
    spent = [each.cpu for each in records.steps if each.cpu is not None]
    cpu = format_duration(sum(spent)) if spent else None
    yield stated("Processor time", cpu, f"{_run(records)}#steps")
    peaks = [each.peak for each in records.steps if each.peak is not None]
    memory = f"{max(peaks) / 2**20:,.0f} MiB at most" if peaks else None
    yield stated("Memory", memory, f"{_run(records)}#steps")
    yield stated("Energy, estimated", _energy(records), f"{_run(records)}#steps")


CORE_W, MEMORY_W_PER_GB, OVERHEAD = 12.0, 0.3725, 1.67
"""A busy core, a GB of memory, and what a data centre adds: the values for unknown hardware of
Lannelongue, Grealey and Inouye 2021, doi:10.1002/advs.202100707."""


def _energy(records: Records) -> str | None:
    """Return the energy of the steps that were measured, in words; None where none was."""
    joules = 0.0
    for each in records.steps:
        if each.cpu is None or each.ended_at is None:
            continue
        held = (each.peak or 0) / 1e9 * MEMORY_W_PER_GB * (each.ended_at - each.started_at)
        joules += (each.cpu * CORE_W + held) / SECOND * OVERHEAD
    if not joules:
        return None
    return (
        f"{joules / 3600:.3g} Wh: {CORE_W:g} W a busy core, {MEMORY_W_PER_GB:g} W a GB of memory, "
        f"{OVERHEAD:g} times that for the data centre; not measured"
    )


@query("envelope")
def envelope(records: Records) -> Iterator[Fact]:
    """Yield which changes the contract decides in advance: actions and the gates around them."""
    terms = records.terms
    at = f"model.{records.version.model}"
    automatic = {
        cause.value: f"{each.default.value} after {each.within}"
        for cause, each in (terms.actions if terms else {}).items()
        if each.default is not None
    }
    none = "nothing is done unless somebody decides" if terms else None
    yield stated("Done by default", automatic or none, in_contract(records, f"{at}.actions"))
    margin = terms.gates.quality.margin if terms else None
    yield stated("Margin of quality", margin, in_contract(records, f"{at}.gates.quality.margin"))


@query("split")
def split(records: Records) -> Iterator[Fact]:
    """Yield which rows it was judged on and fitted on, and the seed of the run."""
    version, run = records.version, records.run
    source = in_registry(records)
    yield stated(
        "Label",
        records.terms and records.terms.target.column,
        in_contract(records, f"model.{version.model}.target.column"),
    )
    yield stated("Rows it is judged on", version.evaluation, source)
    fitted = version.trained_rows or "not said by the pipeline"
    yield stated("Rows it was fitted on", fitted, source)
    yield stated("Seed of the run", None if run is None else str(run.seed), _run(records))
    leak = [one for one in results(records) if one.check == "leak"]
    words = [f"{one.answer.value}. {one.summary}" for one in leak] or None
    unknown = "not compared: the rows it was fitted on are not known"
    told = words if records.verdict is None or words else unknown
    yield stated("Judged rows among the fitted", told, verdict_source(records))


@query("tests")
def tests(records: Records) -> Iterator[Fact]:
    """Yield the verdict with every check, the data it judged on, who signed it."""
    verdict = records.verdict
    yield stated("Verdict", verdict and verdict.answer.value, verdict_source(records))
    yield stated("Signed by key", verdict and verdict.signed_by, verdict_source(records))
    yield stated("Judged on data", verdict and verdict.test_data, verdict_source(records))
    yield from _checked(records, "Checks")


@query("package-safety")
def package_safety(records: Records) -> Iterator[Fact]:
    """Yield whether loading the package can run code, and where the checks of policy stand."""
    form = records.manifest.model_format if records.manifest else None
    safe = (
        None if form is None else "runs code when loaded" if form == PICKLED else "holds data only"
    )
    yield stated("Format of the model", safe and f"{form}: {safe}", _package(records))
    yield from _checked(records, "Policy", "policy")


@query("metrics")
def metrics(records: Records) -> Iterator[Fact]:
    """Yield the metrics that were registered."""
    for name, value in sorted(records.version.metrics.items()):
        yield stated(name, None if value is None else f"{value:.6g}", in_registry(records))
    if not records.version.metrics:
        yield stated("Metrics", None, in_registry(records))


@query("groups")
def groups(records: Records) -> Iterator[Fact]:
    """Yield the accuracy by group, as the gates found it."""
    yield from _checked(records, "By group", "bias")
    sliced = [one for one in results(records, "quality") if "slice" in one.check]
    for one in sliced:
        yield stated(one.check, f"{one.answer.value}. {one.summary}", verdict_source(records))


@query("inputs")
def inputs(records: Records) -> Iterator[Fact]:
    """Yield the specification of the input data."""
    signature = records.manifest.signature if records.manifest else None
    if signature is None:
        yield stated("Inputs", None, _package(records))
        return
    for field in signature.inputs:
        bounds = (
            f", {field.low:g} to {field.high:g}"
            if field.low is not None and field.high is not None
            else ""
        )
        known = f", {len(field.categories)} categories" if field.categories else ""
        empty = ", may be missing" if field.nullable else ""
        words = f"{field.kind.value}{bounds}{known}{empty}"
        yield stated(f"Input {field.name}", words, _package(records))


@query("metric-choice")
def metric_choice(records: Records) -> Iterator[Fact]:
    """Yield which metric decides, and by which margin."""
    terms = records.terms.gates if records.terms else GateTerms()
    at = f"model.{records.version.model}.gates.quality"
    yield stated("Metric that decides", terms.quality.metric, in_contract(records, f"{at}.metric"))


@query("risks")
def risks(records: Records) -> Iterator[Fact]:
    """Yield the risk register, row by row."""
    source = answers_source(records)
    if not records.answers.risks:
        yield stated("Risks", None, f"{source}.risks")
    for name, risk in sorted(records.answers.risks.items()):
        by = f"accepted by {risk.accepted_by}" if risk.accepted_by else "accepted by nobody"
        parts = (risk.what, f"severity {risk.severity}", risk.measure, risk.evidence, by)
        yield stated(
            f"Risk {name}", "; ".join(part for part in parts if part), f"{source}.risks.{name}"
        )


def answers_source(records: Records) -> str:
    """Return the source of what people wrote."""
    digest = records.answers.digest or "none"
    return f"answers:{digest}#model.{records.version.model}"


@query("open-alerts")
def open_alerts(records: Records) -> Iterator[Fact]:
    """Yield alerts that nobody has closed."""
    waiting = [one for one in records.alerts if one.state is not AlertState.CLOSED]
    for one in waiting:
        words = f"{one.state.value}: {one.title} (owner {one.owner})"
        yield stated(f"Alert {one.cause.value}", words, f"alert:{one.alert_id}")
    if not waiting:
        yield stated("Open alerts", "none", in_registry(records))


@query("changes")
def changes(records: Records) -> Iterator[Fact]:
    """Yield what differs from the version before: code, data, format, metrics, threshold."""
    version, before = records.version, records.previous
    if before is None:
        none = "it is the first version" if version.version == 1 else None
        yield stated("Changes", none, in_registry(records))
        return
    pairs: list[tuple[str, Any, Any]] = [
        ("Code", before.commit, version.commit),
        ("Data", _data(before.training), _data(version.training)),
        ("Parameters", _parameters(records.previous_run), _parameters(records.run)),
        ("Format", _format(records.previous_manifest), _format(records.manifest)),
        ("Threshold", _threshold(records.previous_terms), _threshold(records.terms)),
        ("Owner", _owner(records.previous_terms), _owner(records.terms)),
        *(
            (name, before.metrics.get(name), value)
            for name, value in sorted(version.metrics.items())
        ),
    ]
    changed = [(what, old, new) for what, old, new in pairs if old != new]
    for what, old, new in changed:
        words = f"from {_value(old)} to {_value(new)}"
        yield stated(f"Changed: {what}", words, in_registry(records))
    if not changed:
        yield stated("Changes", "none that is recorded", in_registry(records))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    return "what nobody recorded" if value is None or value == "" else str(value)


def _data(training: dict[str, str]) -> str:
    return ", ".join(f"{name} {digest[:12]}" for name, digest in sorted(training.items()))


def _format(manifest: Any) -> str:
    return str(manifest.model_format) if manifest else "unknown"


def _threshold(terms: ModelTerms | None) -> float | None:
    return terms.target.threshold if terms else None


def _owner(terms: ModelTerms | None) -> str:
    return terms.owner if terms else ""


@query("robustness")
def robustness(records: Records) -> Iterator[Fact]:
    """Yield what odd, noisy and missing inputs did to it."""
    yield from _checked(records, "Robustness", "robustness")


@query("explanation")
def explanation(records: Records) -> Iterator[Fact]:
    """Yield what an answer can be explained by."""
    ranked = sorted(records.version.importance.items(), key=lambda item: -item[1])
    shown = [f"{name} {value:.3g}" for name, value in ranked[:TOP_FEATURES]]
    yield stated("What answers rest on", shown, in_registry(records))
    unclear = [one.check for one in results(records) if one.answer is Answer.CANNOT_TELL]
    said = unclear or (["none"] if records.verdict else [])
    yield stated("Checks that could not tell", said, verdict_source(records))
