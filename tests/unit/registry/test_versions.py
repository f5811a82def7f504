import msgspec
import pytest

from thrive.contract.parse import parse
from thrive.domain.errors import Damaged, NotFound, Refused, UsageError
from thrive.domain.model import Stage
from thrive.domain.release import RoutingTable, Variant
from thrive.domain.run import CodeRecord, Run, RunState
from thrive.packaging.manifest import FileEntry, PackageManifest, read_manifest
from thrive.packaging.signature import Field, FieldKind, Output, OutputKind, Signature
from thrive.registry import operations
from thrive.registry.versions import Candidate, register
from thrive.store import audit, models, projects, references, releases, runs

CONTRACT = parse(
    'contract = 1\n[model.delay]\nowner = "us"\npurpose = "p"\ntarget = { column = "late" }\n'
)


@pytest.fixture
def run(context):
    made = Run(
        run_id="0" * 31 + "1", experiment="e", name="e", state=RunState.RUNNING, actor="tester",
        started_at=1, metrics={"auc": 0.7}, code=CodeRecord(entry="t.py", commit="c" * 40),
    )  # fmt: skip
    with context.write(f"run:{made.run_id}") as tx:
        runs.save(tx, context.project_id, made)
    return made


@pytest.fixture
def candidate(home):
    data = b"weights"
    manifest = PackageManifest(
        model_format="linear",
        files={"weights.npz": FileEntry(digest=home.blobs.put(data), size=len(data))},
        signature=Signature(
            inputs=(Field(name="a", kind=FieldKind.NUMBER),),
            output=Output(kind=OutputKind.NUMBER),
        ),
    )
    return Candidate(
        model="delay",
        package=home.blobs.put(manifest.to_bytes()),
        evaluation=home.blobs.put(b"evaluation"),
        reference=home.blobs.put(b"reference"),
        training={"flights": "d" * 64},
    )


def test_a_version_holds_its_run_its_data_and_the_contract_in_force(context, run, candidate):
    version = register(context, candidate, run, CONTRACT)
    assert (version.version, version.metrics, version.commit) == (1, {"auc": 0.7}, "c" * 40)
    assert not version.dirty
    assert version.signature["inputs"][0]["name"] == "a"
    assert register(context, candidate, run, CONTRACT).version == 2
    with context.read() as tx:
        stored = projects.find_contract(tx, context.project_id, version.contract)
        assert stored is not None
        assert stored.text == CONTRACT.text
        assert models.get(tx, context.project_id, "delay").owner == "us"
        weights = context.home.blobs.put(b"weights")
        assert ("model_version", "delay@1") in references.users(tx, context.project_id, weights)
        written = runs.find_uses(tx, context.project_id, run.run_id)
        assert [(use.kind, use.direction, use.version) for use in written] == [("model", "out", 1)]
        assert audit.latest(tx, context.project_id)[0].subject == "model:delay"


def test_what_another_run_registered_already_is_no_new_version(context, run, candidate):
    first = register(context, candidate, run, CONTRACT)
    again = msgspec.structs.replace(run, run_id="0" * 31 + "2")
    with context.write(f"run:{again.run_id}") as tx:
        runs.save(tx, context.project_id, again)
    manifest = read_manifest(context.home.blobs.get(candidate.package), digest=candidate.package)
    later = msgspec.structs.replace(manifest, created=manifest.created + 1).to_bytes()
    packed = msgspec.structs.replace(candidate, package=context.home.blobs.put(later))
    twin = register(context, packed, again, CONTRACT)
    assert (twin.version, twin.run_id, twin.seal) == (1, run.run_id, first.seal)
    with context.read() as tx:
        (use,) = runs.find_uses(tx, context.project_id, again.run_id)
    assert (use.kind, use.direction, use.version) == ("model", "out", 1)
    noted = msgspec.structs.replace(candidate, note="for the desk")
    assert register(context, noted, again, CONTRACT).version == 2
    other = parse(CONTRACT.text.replace("us", "them", 1))
    assert register(context, candidate, again, other).version == 3


def test_a_version_of_committed_code_does_not_stand_back_for_one_of_dirty_code(
    context, run, candidate
):
    dirty = msgspec.structs.replace(run, code=CodeRecord(entry="t.py"))
    assert register(context, candidate, dirty, CONTRACT).dirty
    clean = msgspec.structs.replace(run, run_id="0" * 31 + "2")
    with context.write(f"run:{clean.run_id}") as tx:
        runs.save(tx, context.project_id, clean)
    made = register(context, candidate, clean, CONTRACT)
    assert (made.version, made.dirty) == (2, False)
    third = msgspec.structs.replace(dirty, run_id="0" * 31 + "3")
    with context.write(f"run:{third.run_id}") as tx:
        runs.save(tx, context.project_id, third)
    assert register(context, candidate, third, CONTRACT).version == 2


def test_a_run_without_a_commit_makes_a_dirty_version(context, run, candidate):
    bare = msgspec.structs.replace(run, code=CodeRecord(entry="t.py"))
    assert register(context, candidate, bare, CONTRACT).dirty


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"evaluation": "e" * 64}, NotFound),
        ({"package": "e" * 64}, NotFound),
        ({"model": "No Name"}, UsageError),
    ],
)
def test_nothing_is_registered_when_something_is_missing(context, run, candidate, changes, error):
    with pytest.raises(error):
        register(context, msgspec.structs.replace(candidate, **changes), run, CONTRACT)
    assert operations.list_models(context) == []


def test_a_damaged_manifest_is_refused(context, run, candidate):
    path = context.home.blobs.local_path(candidate.package)
    path.chmod(0o600)
    path.write_bytes(b"other")
    with pytest.raises(Damaged):
        register(context, candidate, run, CONTRACT)


def test_a_model_the_contract_does_not_name_is_registered(context, run, candidate):
    version = register(context, msgspec.structs.replace(candidate, model="new"), run, CONTRACT)
    assert operations.show_model(context, f"new@{version.version}").model.owner == ""


def routed(context, version):
    variant = Variant(version=version, package="", share=1.0)
    moved = RoutingTable(
        model="delay", revision=1, variants=[variant], fallback=None, salt="", at=5,
        reason="full", actor="us",
    )  # fmt: skip
    with context.write("model:delay") as tx:
        releases.move_routing(tx, context.project_id, moved, 0)


def test_models_are_listed_shown_and_have_a_history(context, run, candidate):
    register(context, candidate, run, CONTRACT)
    register(context, candidate, run, CONTRACT)
    routed(context, 1)
    row = operations.list_models(context)[0]
    assert (row.newest, row.production, row.versions) == (2, 1, 2)
    assert operations.show_model(context, "delay").stage is Stage.DEV
    assert operations.show_model(context, "delay@1").stage is Stage.PRODUCTION
    history = [row.what for row in operations.show_history(context, "delay")]
    assert sorted(history) == ["delay@1 registered", "delay@2 registered", "traffic: @1 100%"]
    with pytest.raises(NotFound, match="delay@7"):
        operations.show_model(context, "delay@7")


def test_only_a_version_without_traffic_is_retired(context, run, candidate):
    register(context, candidate, run, CONTRACT)
    register(context, candidate, run, CONTRACT)
    routed(context, 1)
    with pytest.raises(Refused, match="delay@1 answers requests"):
        operations.retire_model(context, "delay@1")
    operations.retire_model(context, "delay@2", reason="never good")
    assert operations.show_model(context, "delay@2").stage is Stage.RETIRED
    with pytest.raises(UsageError, match="names no version"):
        operations.retire_model(context, "delay")


@pytest.mark.parametrize(
    ("at", "what"),
    [
        ("2026-04-30", []),
        ("2026-05-01", ["traffic: @1 100%"]),
        ("2026-05-09T12:00", ["traffic: @1 100%"]),
        ("2026-05-10T12:00", ["traffic: @2 100%"]),
        ("2026-05-10T14:00+02:00", ["traffic: @2 100%"]),
        ("2027-01-01", ["traffic: @2 100%"]),
    ],
)
def test_the_history_tells_who_was_in_production_at_a_moment(context, run, candidate, at, what):
    register(context, candidate, run, CONTRACT)
    register(context, candidate, run, CONTRACT)
    moves = ((1, 1_777_636_800_000_000), (2, 1_778_414_400_000_000))  # noon of 1 and 10 May 2026
    for revision, moment in moves:
        variant = Variant(version=revision, package="", share=1.0)
        moved = RoutingTable(
            model="delay", revision=revision, variants=[variant], fallback=None, salt="",
            at=moment, reason="full", actor="us",
        )  # fmt: skip
        with context.write("model:delay") as tx:
            releases.move_routing(tx, context.project_id, moved, revision - 1)
    assert [row.what for row in operations.show_history(context, "delay", at=at)] == what
    with pytest.raises(UsageError, match="no moment"):
        operations.show_history(context, "delay", at="soon")
