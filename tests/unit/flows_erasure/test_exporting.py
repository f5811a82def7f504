"""What is known of a person is handed out whole, and of nobody else."""

from pathlib import Path

import msgspec
import polars as pl
import pytest
from blake3 import blake3
from tests.planted import OTHERS, PERSON

from thrive.domain.errors import Conflict
from thrive.flows.erasure.exporting import SubjectExport, export_subject
from thrive.flows.erasure.finding import find_subject
from thrive.flows.personal_data import data_reads
from thrive.operations import Context
from thrive.store import audit


def test_every_row_and_answer_is_handed_out_listed_and_logged(planted: Context) -> None:
    done = export_subject(planted, PERSON, to=Path("out"))
    folder = planted.local_folder() / "out"
    listed = msgspec.json.decode((folder / "subject.json").read_bytes(), type=SubjectExport)
    assert listed == done
    rows = {each.subject: each.rows for each in done.files}
    found = find_subject(planted, PERSON)
    assert {f"{v.dataset}@{v.version}": v.rows for v in found.versions} == {
        name: count for name, count in rows.items() if "answers" not in name
    }
    assert rows["answers of value@1"] == found.predictions == 2
    for each in done.files:
        content = (folder / each.file).read_bytes()
        assert blake3(content).hexdigest() == each.digest
        assert not any(other.encode() in content for other in OTHERS)
    assert pl.read_csv(folder / "orders@2.csv")["customer"].to_list() == [PERSON]
    answers = [msgspec.json.decode(line) for line in (folder / "answers-value@1.jsonl").open()]
    assert {answer["k.customer"] for answer in answers} == {PERSON}
    told = [outcome["value"] for answer in answers for outcome in answer["outcomes"]]
    assert told == [1] * sum(each.outcomes for each in found.answers) != []
    assert {each.purpose for each in data_reads(planted)} == {"subject access"}
    with planted.read() as tx:
        (entry, *_) = audit.latest(tx, planted.project_id)
    assert entry.detail["files"]["orders@2"] in {each.digest for each in done.files}
    assert PERSON not in str(entry)
    with pytest.raises(Conflict):
        export_subject(planted, PERSON, to=Path("out"))
