"""Group columns joined at gate time: allowed by name, logged, seen by the bias checks alone."""

import io

import polars as pl
import pytest
from tests.unit.gates.registry import CONTRACT, flights_version, table
from tests.unit.gates.test_checks import case, version

from thrive.contract.parse import parse
from thrive.domain.dataset import Column, Dataset, FileEntry
from thrive.domain.duty import DutyAnswers
from thrive.domain.gate import Answer
from thrive.gates.bias import check_bias
from thrive.gates.case import Rival
from thrive.gates.inputs import Inputs
from thrive.gates.sensitive import joined
from thrive.store import audit, datasets, duties, oversight
from thrive.store.pseudonym_keys import pseudonym_key
from thrive.store.pseudonyms import pseudonymised
from thrive.store.snapshots.snapshot import Snapshot

BIAS = 'bias = { groups = ["carrier"], equal_opportunity = 0.15 }'
JOIN = 'bias = { groups = ["band"], source = "people", key = ["who"], equal_opportunity = 0.15 }'
PEOPLE = """
[data.people]
source = "people.parquet"
allowed = ["bias-check"]
"""


@pytest.fixture
def people(context, registry):
    """A dataset of whom each row is about: 40 people in two bands, one of them in none."""
    rows = pl.DataFrame({"who": range(40), "band": ["young", "old"] * 19 + ["old", None]})
    stream = io.BytesIO()
    rows.write_parquet(stream)
    data = stream.getvalue()
    blobs = context.home.blobs
    entry = FileEntry(path="people.parquet", digest=blobs.put(data), size=len(data))
    listed = blobs.put(Snapshot.of_entries([entry]).listing())
    columns = [Column(name="who", dtype="Int64"), Column(name="band", dtype="String")]
    stored = flights_version(dataset="people", digest=listed, columns=columns, rows=40)
    with context.home.write() as tx:
        owned = Dataset(name="people", owner="ours", why="w", created_at=0)
        datasets.save(tx, context.project_id, owned)
        datasets.insert_version(tx, context.project_id, stored)
    return stored


@pytest.fixture
def rows():
    return table(rows=4000, seed=3).with_columns(who=pl.int_range(pl.len()) % 40)


def asked(contract, rows, good):
    found = case(rows, good, good, terms=contract)
    inputs = Inputs(
        version=version(2), rival=Rival.PRODUCTION, against=None, parsed=parse(contract),
        upstream={}, environment={}, judged=set(), judged_rows=set(),
    )  # fmt: skip
    return inputs, found


def test_groups_are_joined_for_the_bias_checks_and_the_access_is_logged(context, people, rows):
    good = rows["_label"].to_numpy() * 0.4 + 0.3
    inputs, found = asked(CONTRACT.replace(BIAS, JOIN) + PEOPLE, rows, good)
    join = joined(context, inputs, found)
    assert join.reason == ""
    assert join.source == {"source": "people@1", "digest": people.digest, "rows_matched": "3900"}
    first, _ = check_bias(join.case)
    sizes = {one["group"]: one["rows"] for one in first.evidence["groups"]}
    assert sizes == {"band=young": 1900, "band=old": 2000, "band=(missing)": 100}
    assert "band" not in found.frame.columns
    with context.read() as tx:
        logged = audit.latest(tx, context.project_id)[0]
    assert logged.subject == "dataset:people"
    assert logged.detail["purpose"] == "bias-check"
    with context.read() as tx:
        (read,) = oversight.find_reads(tx, context.project_id, "people")
    assert (logged.detail["columns"], logged.detail["model"]) == (["band"], "delay@2")
    assert (read.columns, read.pseudonymised, read.purpose) == (["band"], [], "bias-check")


def test_rows_with_pseudonyms_find_their_groups_too(context, people, rows):
    """Whoever trained it had no grant for `who`: their rows name nobody, the groups are real."""
    hidden = pseudonymised(rows.lazy(), ["who"], pseudonym_key(context.home, "dana")).collect()
    mixed = hidden.with_columns(
        who=pl.when(pl.int_range(pl.len()) < 2000).then("who").otherwise(rows["who"].cast(str))
    )
    good = rows["_label"].to_numpy() * 0.4 + 0.3
    shown = []
    for each in (rows, hidden, mixed):
        inputs, found = asked(CONTRACT.replace(BIAS, JOIN) + PEOPLE, each, good)
        join = joined(context, inputs, found)
        assert join.source["rows_matched"] == "3900"
        shown.append(check_bias(join.case))
    assert shown[0] == shown[1] == shown[2]
    strangers = rows.with_columns(who=pl.col("who") + 1000)
    inputs, found = asked(CONTRACT.replace(BIAS, JOIN) + PEOPLE, strangers, good)
    assert "knows none of them by who" in joined(context, inputs, found).reason


def test_nothing_is_read_where_every_group_is_in_the_rows(context, people, rows):
    present = JOIN.replace('"band"', '"carrier"')
    inputs, found = asked(CONTRACT.replace(BIAS, present) + PEOPLE, rows, rows["wind"].to_numpy())
    assert joined(context, inputs, found).case is found
    with context.read() as tx:
        assert oversight.find_reads(tx, context.project_id, "people") == []


def test_sensitive_columns_are_not_read_after_their_day(context, people, rows):
    inputs, found = asked(CONTRACT.replace(BIAS, JOIN) + PEOPLE, rows, rows["wind"].to_numpy())
    for until, words in (
        ("2020-01-01", "were to be kept for bias checks until"),
        ("2999-01-01", ""),
    ):
        said = DutyAnswers(model="delay", digest=until, fields={"sensitive_until": until})
        with context.write("duties") as tx:
            duties.add_answers(tx, context.project_id, said)
        join = joined(context, inputs, found)
        assert words in join.reason
        assert bool(join.source) is not bool(words)


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        (CONTRACT.replace(BIAS, JOIN), "may not serve 'bias-check'"),
        (CONTRACT.replace(BIAS, JOIN.replace('key = ["who"], ', "")) + PEOPLE, "names no key"),
        (CONTRACT.replace(BIAS, JOIN.replace('"who"', '"whom"')) + PEOPLE, "no column whom"),
        (CONTRACT.replace(BIAS, JOIN.replace('"band"', '"size"')) + PEOPLE, "no column size"),
        (CONTRACT.replace(BIAS, JOIN.replace('"people"', '"people@7"')) + PEOPLE, "people"),
    ],
)
def test_what_may_not_be_joined_cannot_be_told(context, people, rows, contract, words):
    inputs, found = asked(contract, rows, rows["wind"].to_numpy())
    join = joined(context, inputs, found)
    assert words in join.reason
    first = check_bias(join.case, join.reason)[0]
    assert (first.answer, first.summary) == (Answer.CANNOT_TELL, join.reason)
