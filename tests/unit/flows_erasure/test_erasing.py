"""Erasing a person: nothing before yes, everything after it, and answers in the place of it."""

import base64
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.planted import AT, NUMBER, OTHERS, PERSON, answer, plant_model

from thrive.data.lineage import lineage
from thrive.data.moving import pull, push
from thrive.data.operations import add
from thrive.data.reading import find_version, scan_version
from thrive.domain.erasure import Erasure, ErasureState
from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.domain.features import FeatureColumn
from thrive.domain.identifiers import new_id
from thrive.domain.run import Artifact, RunState, StepRecord
from thrive.flows.doctor import doctor
from thrive.flows.erasure.erasing import erase
from thrive.flows.erasure.finding import find_subject
from thrive.flows.erasure.records import list_erasures, show_erasure
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.registry.operations import show_model
from thrive.serving.lookup import find_prediction
from thrive.serving.sealing import seal_logs
from thrive.store import audit, erasures, predictions, runs
from thrive.store.eventlog import SegmentWriter, segments
from thrive.store.online import OnlineTable, open_online
from thrive.store.prediction_frames import predictions_between
from thrive.store.snapshots.manifest import read_snapshot
from thrive.training.artifacts import encode

WHY = "request 17"


def test_a_plan_changes_nothing(planted: Context) -> None:
    report = erase(planted, PERSON, reason=WHY)
    assert (report.state, report.rows, report.predictions) == ("planned", 5, 2)
    assert find_subject(planted, PERSON).rows == 5


def test_afterwards_nobody_is_found_and_the_others_are_there(planted: Context) -> None:
    before = {
        name: find_version(planted, name)
        for name in ("orders@1", "orders@2", "visits@1", "notes@1", "joined@1", "weather@1")
    }
    report = erase(planted, PERSON, reason=WHY, yes=True)
    assert (report.state, report.left) == ("done", [])
    found = find_subject(planted, PERSON)
    assert (found.rows, found.predictions) == (0, 0)
    for name, version in before.items():
        after = find_version(planted, name)
        less = 0 if name == "weather@1" else 1
        assert after.version == version.version
        assert after.rows == version.rows - less, name
        assert scan_version(after, planted.home.blobs).collect().height == after.rows


def test_a_pinned_digest_answers_with_date_reason_and_what_replaced_it(
    planted: Context, tmp_path: Path
) -> None:
    lock = tmp_path / "thrive.lock"
    old = lock.read_text()
    erase(planted, PERSON, reason=WHY, yes=True)
    assert lock.read_text() != old
    present = find_version(planted, "orders")
    lock.write_text(old)  # a clone that has not heard of it
    with pytest.raises(NotFound, match=f"erased on .* for: {WHY}, replaced by") as refused:
        find_version(planted, "orders")
    assert present.digest in refused.value.hint


def keep_results(ctx: Context) -> str:
    """Record a run whose steps kept values about the person: as an artifact, and in a row."""
    run_id = plant_model(ctx, "orders@1")
    values = [[PERSON, *OTHERS], {"who": PERSON}, {"who": OTHERS[0]}]
    parts = [b"".join(encode(each, "a result")[1]) for each in values]
    digests = [ctx.home.blobs.put(part) for part in parts]
    done = StepRecord(
        run_id=run_id, position=0, name="load", state=RunState.DONE, started_at=1, key="k"
    )
    results = [{"kind": "pickle", "digest": digest, "size": 1} for digest in digests]
    for result, part in zip(results[1:], parts[1:], strict=True):
        result["data"] = base64.b64encode(part).decode()
    with ctx.observe("run") as tx:
        kept = Artifact(
            run_id=run_id, name="load", kind="pickle", digest=digests[0], size=1, created_at=1
        )
        runs.save_artifact(tx, ctx.project_id, kept)
        for position, result in enumerate(results):
            step = msgspec.structs.replace(done, position=position, result=result)
            runs.save_step(tx, ctx.project_id, step)
    return run_id


def test_results_that_steps_kept_are_forgotten_and_made_again(planted: Context) -> None:
    run_id = keep_results(planted)
    artifacts = [each for each in erase(planted, PERSON, reason=WHY).items if each.rows is None]
    assert ("artifact", "drop") in {(each.kind, each.fate.value) for each in artifacts}
    report = erase(planted, PERSON, reason=WHY, yes=True)
    assert (report.state, report.left, report.counts["results"]) == ("done", [], 1)
    with planted.read() as tx:
        left = {
            step.position: step.result for step in runs.find_steps(tx, planted.project_id, run_id)
        }
    assert left[1] is None
    assert left[2]
    assert left[0]
    assert not planted.home.blobs.has(left[0]["digest"])


def test_the_source_cannot_bring_the_person_back(planted: Context) -> None:
    erase(planted, PERSON, reason=WHY, yes=True)
    with pytest.raises(Refused, match="erased on"):
        add(planted, name="orders")
    assert find_subject(planted, PERSON).rows == 0
    assert not any(
        PERSON.encode() in planted.home.blobs.get(digest) for digest in planted.home.blobs.digests()
    )


def test_models_that_learned_from_the_person_are_marked(planted: Context) -> None:
    report = erase(planted, PERSON, reason=WHY, yes=True)
    assert report.models == ["value@1"]
    assert report.next_hint == "thrive models retrain value"
    assert [(each.data, each.reason) for each in show_model(planted, "value@1").erased] == [
        ("orders@1", WHY)
    ]
    assert show_model(planted, "value@2").erased == []


def test_lineage_still_knows_the_runs_and_models_of_the_version(planted: Context) -> None:
    before = lineage(planted, "orders@1")
    erase(planted, PERSON, reason=WHY, yes=True)
    after = lineage(planted, "orders@1")
    assert after.digest != before.digest
    assert [each.run_id for each in after.runs] == [each.run_id for each in before.runs]
    assert [each.version for each in after.models] == [1]


def test_people_may_be_numbers(planted: Context) -> None:
    report = erase(planted, str(NUMBER), reason=WHY, yes=True)
    assert (report.state, report.rows) == ("done", 1)
    towns = scan_version(find_version(planted, "accounts"), planted.home.blobs).collect()["town"]
    assert towns.to_list() == ["Rome", "Oslo"]


def test_predictions_of_others_in_the_same_record_stay(planted: Context) -> None:
    erase(planted, PERSON, reason=WHY, yes=True)
    frame = predictions_between(planted.home, 0, 1 << 62)
    assert sorted(frame["k.customer"].to_list()) == sorted(OTHERS[:2])
    with planted.read() as tx:
        sealed = predictions.find_sealed(tx, planted.project_id)
        outcomes = predictions.find_outcomes(tx, planted.project_id)
    assert sum(each.rows for each in sealed) == 2
    assert len(outcomes) == 2


def test_a_person_in_an_open_segment_is_blanked_there(planted: Context) -> None:
    with SegmentWriter(planted.home.log_folder, 3) as writer:
        kept = answer(writer, [OTHERS[0]], AT + 1)
        gone = answer(writer, [PERSON], AT + 2)
        erase(planted, PERSON, reason=WHY, yes=True)
        raw = [each.path.read_bytes() for each in segments(planted.home.log_folder)]
        assert raw
        assert not any(PERSON.encode() in each for each in raw)
        assert find_prediction(planted.home, kept).keys == {"customer": OTHERS[0]}
        with pytest.raises(NotFound):
            find_prediction(planted.home, gone)
        later = answer(writer, [OTHERS[1]], AT + 3)
    seal_logs(planted.home, force=True)
    assert find_prediction(planted.home, later).keys == {"customer": OTHERS[1]}


def test_texts_of_the_database_are_redacted_and_the_chain_holds(planted: Context) -> None:
    with planted.write("note") as tx:
        run = runs.find(tx, planted.project_id, limit=1)[0]
        noted = msgspec.structs.replace(run, params={"who": PERSON}, tags={PERSON: "x"})
        runs.save(tx, planted.project_id, noted)
    erase(planted, PERSON, reason=WHY, yes=True)
    with planted.read() as tx:
        run = runs.get(tx, planted.project_id, run.run_id)
        assert audit.first_broken(tx, planted.project_id) is None
        last = audit.latest(tx, planted.project_id, 20)
    assert (run.params, run.tags) == ({"who": "[erased]"}, {"[erased]": "x"})
    assert {each.operation for each in last} == {"test"}
    assert not any(PERSON in str(each.detail) for each in last)


def test_what_no_program_may_change_is_named_and_nothing_is_claimed(planted: Context) -> None:
    with planted.write("note", words=f"spoke with {PERSON}"):
        pass
    report = erase(planted, PERSON, reason=WHY, yes=True)
    assert report.state == "left"
    assert report.exit_code == 1
    assert any("audit.detail" in each for each in report.left)


def test_a_file_that_is_no_table_goes_whole_when_it_is_named(
    planted: Context, tmp_path: Path
) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    (faces / "ada.png").write_bytes(b"\x89PNG" + PERSON.encode())
    (faces / "bob.png").write_bytes(b"\x89PNG bob")
    add(planted, "faces", name="faces")
    assert any(
        "faces@1/ada.png" in each for each in erase(planted, PERSON, reason=WHY, yes=True).left
    )
    report = erase(planted, PERSON, reason=WHY, drop=["faces@1/ada.png"], yes=True)
    assert report.left == []
    snapshot = read_snapshot(planted.home.blobs, find_version(planted, "faces").listed_in)
    assert snapshot.paths == ["bob.png"]


def test_a_record_needs_a_reason_and_never_holds_the_value(planted: Context) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        erase(planted, PERSON, reason=" ", yes=True)
    with pytest.raises(UsageError, match="hold the value"):
        erase(planted, PERSON, reason=f"{PERSON} asked", yes=True)
    erase(planted, PERSON, reason=WHY, legal_basis="GDPR 17", yes=True)
    line = list_erasures(planted)[0]
    assert (line.state, line.rows, line.predictions, line.legal_basis) == ("done", 5, 2, "GDPR 17")
    assert len(show_erasure(planted, line.erasure_id).absent) > 5


def test_erasing_twice_is_fine(planted: Context) -> None:
    erase(planted, PERSON, reason=WHY, yes=True)
    again = erase(planted, PERSON, reason=WHY, yes=True)
    assert (again.state, again.rows, again.predictions) == ("done", 0, 0)
    other = erase(planted, OTHERS[0], reason=WHY, yes=True)
    assert (other.state, other.rows) == ("done", 11)
    with planted.read() as tx:
        version = find_version(planted, "orders@1")
        former = erasures.former_digests(tx, planted.project_id, [version.digest, "0" * 64])
        assert (len(former[version.digest]), former["0" * 64]) == (2, [])


def test_the_online_store_forgets_the_person(planted: Context) -> None:
    text = FeatureColumn(name="customer", dtype="String")
    amount = FeatureColumn(name="amount", dtype="Float64")
    view = OnlineTable(digest="ab" * 32, keys=[text], columns=[amount])
    rows = pl.DataFrame({"customer": [PERSON, OTHERS[0]], "amount": [1.0, 2.0], "_at": [1, 1]})
    online = open_online(planted.home.folder)
    online.publish(view, rows)
    assert erase(planted, PERSON, reason=WHY, yes=True).left == []
    reader = online.reader([view])
    found = reader.read([{"customer": PERSON}, {"customer": OTHERS[0]}])
    reader.close()
    assert list(found.cells[0]) == [None, 2.0]


def test_doctor_says_that_an_erasure_was_broken_off(planted: Context) -> None:
    begun = Erasure(
        erasure_id=new_id(),
        state=ErasureState.BEGUN,
        reason=WHY,
        legal_basis="",
        actor="ann",
        salt="00" * 16,
        person=Sought(PERSON).digest("00" * 16),
        scope={"column": ""},
        started_at=1,
    )
    with planted.observe("erasure") as tx:
        erasures.save(tx, planted.project_id, begun)
    found = next(each for each in doctor(planted).findings if each.question == "erasures")
    assert (found.health, "broken off when it was begun" in found.found) == ("bad", True)
    report = erase(planted, PERSON, reason=WHY, yes=True)
    assert (report.erasure_id, report.state) == (begun.erasure_id, "done")
    found = next(each for each in doctor(planted).findings if each.question == "erasures")
    assert found.health == "ok"


def test_where_versions_were_pushed_is_cleaned_too(planted: Context, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    pushing = planted.acting(planted.actor, "data push")
    push(pushing, str(shelf))
    push(pushing, str(shelf), name="orders@1")
    old = (tmp_path / "thrive.lock").read_text()

    def holding() -> list[Path]:
        files = [path for path in shelf.rglob("*") if path.is_file()]
        return [path for path in files if Sought(PERSON).named_in(path.read_bytes())]

    assert len(holding()) >= 4
    assert erase(planted, PERSON, reason=WHY, yes=True).left == []
    assert holding() == []
    (tmp_path / "thrive.lock").write_text(old)
    with pytest.raises(NotFound, match="was erased on"):
        pull(planted, str(shelf), name="orders")


def test_a_place_that_does_not_answer_is_named(planted: Context, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    push(planted.acting(planted.actor, "data push"), str(shelf))
    moved = shelf.rename(tmp_path / "elsewhere")
    shelf.write_text("no folder")
    report = erase(planted, PERSON, reason=WHY, yes=True)
    assert [each for each in report.left if "does not answer" in each]
    shelf.unlink()
    moved.rename(shelf)
    assert erase(planted, PERSON, reason=WHY, yes=True).left == []
