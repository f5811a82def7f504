import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrive.contract.parse import parse
from thrive.contract.schema import Risk
from thrive.contract.template import dataset_name, new_contract
from thrive.domain.errors import UsageError
from thrive.domain.identifiers import NAME_PATTERN

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True).filter(
    lambda name: ".." not in name
)


@given(names, texts, texts, texts, texts, st.sampled_from(Risk))
def test_any_answers_come_back_as_they_were_given(name, source, owner, purpose, target, risk):
    text = new_contract(name, source, owner=owner, purpose=purpose, target=target, risk=risk)
    contract = parse(text).contract
    model = contract.model[name]
    assert contract.project.name == name
    assert [data.source for data in contract.data.values()] == [source]
    assert (model.owner, model.purpose, model.target.column) == (owner, purpose, target)
    assert model.risk is risk


def test_a_new_contract_holds_six_answers():
    text = new_contract("rides", "data/rides.csv", owner="us", purpose="tips", target="tip")
    answers = [row for row in text.split("\n") if " = " in row and not row.startswith("contract")]
    assert [row.split(" = ")[0] for row in answers] == [
        "name", "source", "purpose", "owner", "target", "risk",
    ]  # fmt: skip


def test_a_name_that_cannot_be_is_refused():
    with pytest.raises(UsageError, match="cannot name a project"):
        new_contract("My Project", "x", owner="a", purpose="b", target="c")


@given(texts, names)
def test_every_source_gives_a_name_a_dataset_may_have(source, otherwise):
    assert NAME_PATTERN.fullmatch(dataset_name(source, otherwise))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/flights.csv", "flights"),
        ("data/flights/*.parquet", "flights"),
        ("s3://bucket/Taxi Rides", "demo"),
        ("s3://bucket/taxi-2013/part-*.parquet", "taxi-2013"),
        ("https://example.org/rides.csv?key=1", "rides"),
        ("SELECT * FROM rides", "demo"),
        ("*.csv", "demo"),
        ("rides/\N{SNOWMAN}.csv", "demo"),
    ],
)
def test_a_dataset_is_named_after_its_source(source, name):
    assert dataset_name(source, "demo") == name
