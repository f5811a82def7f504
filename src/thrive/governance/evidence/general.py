"""Evidence of what the system is: purpose, people, parts, interfaces, answers of people."""

from collections.abc import Iterator

from thrive.contract.schema import ModelTerms, Risk
from thrive.domain.clock import format_time
from thrive.domain.reference import format_reference
from thrive.governance.evidence.registry import query
from thrive.governance.facts import Fact, in_contract, in_registry, stated
from thrive.governance.records import Records


def _terms(records: Records) -> ModelTerms:
    return records.terms or ModelTerms()


def _at(records: Records, key: str) -> str:
    return in_contract(records, f"model.{records.version.model}.{key}")


@query("risk-class")
def risk_class(records: Records) -> Iterator[Fact]:
    """Yield the class of the use, as somebody decided it."""
    decided = None if records.risk is Risk.UNDECIDED else records.risk.value
    yield stated("Risk class (EU AI Act)", decided, _at(records, "risk"))


@query("identity")
def identity(records: Records) -> Iterator[Fact]:
    """Yield which version this is, and its digest."""
    version = records.version
    yield stated("System", records.label, in_registry(records))
    yield stated("Package digest", version.package, in_registry(records))
    made = f"{format_time(version.created_at)} by {version.actor}"
    yield stated("Registered", made, in_registry(records))


@query("purpose")
def purpose(records: Records) -> Iterator[Fact]:
    """Yield what it is for, for whom."""
    terms = _terms(records)
    yield stated("Intended purpose", terms.purpose, _at(records, "purpose"))
    yield stated("Users", terms.users, _at(records, "users"))
    yield stated("What it predicts", terms.target.column, _at(records, "target.column"))


@query("predecessors")
def predecessors(records: Records) -> Iterator[Fact]:
    """Yield the version before it; a first one has none, and says so."""
    before = records.previous
    if before is None:
        none = "none" if records.version.version == 1 else None
        yield stated("Predecessor", none, in_registry(records))
        return
    label = format_reference(before.model, before.version)
    words = f"{label}, {format_time(before.created_at)}"
    yield stated("Predecessor", words, f"model_version:{label}")


@query("people")
def people(records: Records) -> Iterator[Fact]:
    """Yield who answers for it and what was promised."""
    terms = _terms(records)
    yield stated("Owner", terms.owner, _at(records, "owner"))
    yield stated("Deputy", terms.deputy, _at(records, "deputy"))
    if terms.business_owner:
        yield stated("Business owner", terms.business_owner, _at(records, "business_owner"))
    if terms.approvers:
        yield stated("Whose approval counts", terms.approvers, _at(records, "approvers"))
    for each in records.leavers:
        yield stated("Not there any more", each.words, _at(records, "owner"))
    sla = {
        key: value
        for key in ("p99_ms", "availability", "max_age", "outcomes_within")
        if (value := getattr(terms.sla, key))
    }
    yield stated("Promise to its users", sla, _at(records, "sla"))


@query("interaction")
def interaction(records: Records) -> Iterator[Fact]:
    """Yield who reads the answers, where they are given, and what it reads beside a request."""
    terms = _terms(records)
    where = terms.where.value if terms.where else None
    yield stated("Where it answers", where, _at(records, "where"))
    yield stated("Who reads the answers", terms.users, _at(records, "users"))
    spec = records.version.features
    views = [each.name for each in spec.views] if spec else ["none"]
    yield stated("Feature views", views, in_registry(records))
    for host in records.hosts:
        source = f"serving_host:{host.agent_id}"
        words = f"{host.url or host.host}, {host.answered:,} answers over all models"
        yield stated(f"Serving host {host.host}", words, source)
        if host.consumers:
            yield stated(f"Consumers registered at {host.host}", host.consumers, source)
        if host.unregistered:
            words = f"{host.unregistered}: whoever holds one may ask every model"
            yield stated(f"Tokens without a purpose at {host.host}", words, source)


@query("software")
def software(records: Records) -> Iterator[Fact]:
    """Yield the versions of Python, the platform and the libraries of training."""
    run = records.run
    environment = run.environment if run else {}
    source = f"run:{records.version.run_id or 'none'}#environment"
    for what, key in (("Python", "python"), ("Platform", "platform")):
        yield stated(what, environment.get(key), source)
    yield stated("Libraries", environment.get("libraries"), source)
    wanted = list(records.manifest.requirements) if records.manifest else None
    needed = ["nothing beside Thrive"] if wanted == [] else wanted
    yield stated("Needed to load it", needed, _package(records))


def _package(records: Records) -> str:
    return f"package:{records.version.package or 'none'}"


@query("forms")
def forms(records: Records) -> Iterator[Fact]:
    """Yield the form it is shipped in, file by file."""
    manifest = records.manifest
    yield stated("Format", manifest and manifest.model_format, _package(records))
    files = {name: entry.digest for name, entry in manifest.files.items()} if manifest else None
    yield stated("Files", files, _package(records))


@query("hardware")
def hardware(records: Records) -> Iterator[Fact]:
    """Yield the hardware of training and of the speed test."""
    environment = records.run.environment if records.run else {}
    source = f"run:{records.version.run_id or 'none'}#environment"
    cores = environment.get("cpus")
    processor = environment.get("cpu") or environment.get("machine")
    words = f"{processor}, {cores} cores" if processor and cores else processor
    yield stated("Hardware of training", words, source)
    verdict = records.verdict
    timed = [one for one in verdict.results if one.group == "performance"] if verdict else []
    source = f"verdict:{verdict.verdict_id if verdict else 'none'}"
    yield stated("Speed", [one.summary for one in timed], source)


@query("embedding")
def embedding(records: Records) -> Iterator[Fact]:
    """Yield nothing of its own: whether it is part of a product is for people to say."""
    yield stated("Shipped as", "a package of files", _package(records))


@query("example")
def example(records: Records) -> Iterator[Fact]:
    """Yield what a request and an answer look like: what a caller sends, not what views give."""
    signature = records.manifest.signature if records.manifest else None
    shown = dict(signature.example[0]) if signature and signature.example else None
    spec = records.version.features
    if shown is not None and spec is not None:
        asked = spec.asked()
        shown = {name: value for name, value in shown.items() if name not in spec.names()}
        shown = {each.name: f"a value of type {each.dtype}" for each in asked} | shown
    yield stated("Example of a request", shown, _package(records))
    answer = signature.output.kind.value if signature else None
    yield stated("Form of the answer", answer, _package(records))


@query("instructions")
def instructions(records: Records) -> Iterator[Fact]:
    """Yield the instructions that were rendered of this version."""
    kept = [each for each in records.documents if each.kind == "instructions"]
    source = f"document:{kept[0].digest if kept else 'none'}"
    words = f"rendered {format_time(kept[0].at)}, digest {kept[0].digest}" if kept else None
    yield stated("Instructions for use", words, source)


@query("standards")
def standards(records: Records) -> Iterator[Fact]:
    """Yield the forms and protocols that the system itself keeps to."""
    manifest = records.manifest
    form = f"package format {manifest.format}, {manifest.model_format}" if manifest else None
    yield stated("Format of the package", form, _package(records))


@query("declaration")
def declaration(records: Records) -> Iterator[Fact]:
    """Yield what a declaration of conformity names: system, version, purpose."""
    yield stated("To be declared", records.label, in_registry(records))
    yield stated("For the purpose", _terms(records).purpose, _at(records, "purpose"))


@query("control-map")
def control_map(records: Records) -> Iterator[Fact]:
    """Yield which controls of ISO/IEC 42001 (annex A) and NIST AI RMF the records answer."""
    held: tuple[tuple[str, bool], ...] = (
        ("A.2 policies, GOVERN 1", bool(records.answers.fields.get("ai_policy"))),
        ("A.3 roles, GOVERN 2", bool(_terms(records).owner)),
        ("A.5 impact, MAP 5", bool(records.answers.risks)),
        ("A.6 life cycle, MEASURE 2", records.verdict is not None),
        ("A.7 data, MAP 2", bool(records.known)),
        ("A.8 information, GOVERN 4", bool(records.answers.fields.get("contact"))),
        ("A.9 use, MANAGE 4", bool(records.windows)),
    )
    for control, answered in held:
        yield stated(control, "answered by records" if answered else None, in_registry(records))


@query("approvals")
def approvals(records: Records) -> Iterator[Fact]:
    """Yield who consented to what, and whether that was their own work."""
    if not records.approvals:
        yield stated("Approval", None, in_registry(records))
    for one in records.approvals:
        own = " (own work)" if one.actor == records.version.actor else ""
        words = f"{one.actor}{own} for {one.step}: {one.reason}"
        yield stated(f"Approved {format_time(one.given_at)}", words, f"approval:{one.approval_id}")


@query("approvers")
def approvers(records: Records) -> Iterator[Fact]:
    """Yield the names of those who approved."""
    names = sorted({one.actor for one in records.approvals})
    source = (
        f"approval:{records.approvals[0].approval_id}" if records.approvals else "approval:none"
    )
    yield stated("Who approved", names, source)


@query("process")
def process(records: Records) -> Iterator[Fact]:
    """Yield the process as it was run: verdict, approvals, releases, alerts."""
    verdict = records.verdict
    source = f"verdict:{verdict.verdict_id if verdict else 'none'}"
    yield stated("Judged", verdict and f"{verdict.answer.value} by {verdict.actor}", source)
    consents, releases = len(records.approvals), len(records.releases)
    counts = f"approvals: {consents}, releases: {releases}"
    yield stated("Consent and releases", counts, in_registry(records))
