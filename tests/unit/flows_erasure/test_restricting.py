"""A person who is left out: stored still, and read for nothing."""

from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from tests.planted import NUMBER, OTHERS, PERSON

from thrive import data
from thrive.data.access import seen_digest, view_of
from thrive.data.exporting import export
from thrive.data.operations import add
from thrive.data.reading import find_version
from thrive.data.storing import checkout
from thrive.domain.duty import RestrictionKind
from thrive.domain.errors import Conflict, NotFound, NotRight, Refused, UsageError
from thrive.flows.auditing import audit_verify
from thrive.flows.personal_data import grants_give
from thrive.flows.restricting import restrictions_lift, restrictions_list, restrictions_place
from thrive.operations import Context
from thrive.store import restrictions
from thrive.store.pseudonym_keys import pseudonym_key
from thrive.store.pseudonyms import mark, pseudonym, without
from thrive.store.tables.governance import restrictions as left_out

pytestmark = pytest.mark.filterwarnings("ignore:.*thrive restrictions list")
KEY = b"k" * 32


@pytest.fixture
def shop(planted: Context, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The project as its user stands in it."""
    assert planted.folder is not None
    monkeypatch.chdir(planted.folder)
    return planted


def customers(name: str) -> set[str]:
    return set(data.load(name)["customer"].to_list())


def test_rows_of_the_person_are_read_by_nobody_and_stay_stored(
    shop: Context, tmp_path: Path
) -> None:
    for name in ("orders", "visits"):
        grants_give(shop, name, purpose="value", reason="the model needs it", reader="ana")
    whole = {name: data.load(name).height for name in ("orders", "orders@1", "visits", "joined")}
    placed = restrictions_place(shop, PERSON, reason="request 17")
    assert placed.held == ["joined@1", "notes@1", "orders@1", "orders@2", "visits@1"]
    assert PERSON not in str(placed)
    with shop.read() as tx:
        (people,) = restrictions.asked_about(tx, shop.project_id)
    key = pseudonym_key(shop.home, "ana")
    asked = [{"customer": each} for each in (OTHERS[0], PERSON, pseudonym(PERSON, key))]
    assert people.rows_about(asked) == [1, 2]
    for name, rows in whole.items():
        gone = 2 if name == "visits" else 1
        assert data.load(name).height == rows - gone or name == "visits", name
        assert pseudonym(PERSON, KEY) not in customers(name)
    assert data.scan("orders").select("amount").collect().height == whole["orders"] - 1
    assert data.load("weather").height == 2
    told = export(shop, "orders", to="out.csv")
    assert (told.left_out, told.pseudonyms) == (1, ["customer"])
    assert pl.read_csv(tmp_path / "out.csv").height == whole["orders"] - 1
    assert find_version(shop, "orders").rows == whole["orders"]
    with pytest.raises(Conflict, match="request 17"):
        restrictions_place(shop, PERSON, reason="request 18")
    restrictions_lift(shop, placed.restriction_id, reason="settled, and the person was told")
    assert audit_verify(shop).records == 3
    with shop.home.write() as tx:
        tx.execute(sa.update(left_out).values(lifted_at=None))
    with pytest.raises(NotRight, match=r"restriction .* changed since entry"):
        audit_verify(shop)
    with shop.home.write() as tx:
        tx.execute(sa.update(left_out).values(lifted_at=1))
    assert data.load("orders").height == whole["orders"]
    assert restrictions_list(shop) == []
    assert [each.lifted_by for each in restrictions_list(shop, lifted=True)] == ["tester"]


def test_new_versions_and_numbers_are_read_without_the_person_too(
    shop: Context, tmp_path: Path
) -> None:
    restrictions_place(shop, PERSON, reason="request 17", kind=RestrictionKind.OBJECTION)
    restrictions_place(shop, str(NUMBER), reason="request 18")
    before = find_version(shop, "orders")
    with shop.read() as tx:
        seen = seen_digest(before, view_of(tx, shop, before, {}))
    pl.DataFrame({"customer": [PERSON, OTHERS[0]], "amount": [1.0, 2.0]}).write_csv(
        tmp_path / "orders.csv"
    )
    add(shop, name="orders")
    assert data.load("orders")["amount"].to_list() == [2.0]
    assert data.load("accounts")["town"].to_list() == ["Rome", "Oslo"]
    assert seen != before.digest
    grants_give(shop, "orders", purpose="value", reason="the model needs it", reader="tester")
    for version in ("orders", "orders@1"):
        with pytest.raises(Refused, match=r"left out of orders@. \(customer\).*may name them"):
            checkout(shop, version, to=tmp_path / "files")
    assert not (tmp_path / "files").exists()
    with pytest.raises(Refused):
        data.load("orders", form="path")


def test_what_is_no_order_is_refused(shop: Context) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        restrictions_place(shop, PERSON, reason=" ")
    with pytest.raises(UsageError, match="names the person"):
        restrictions_place(shop, PERSON, reason=f"{PERSON} wrote to us")
    with pytest.raises(NotFound, match="no restriction"):
        restrictions_lift(shop, "0" * 32, reason="x")
    assert restrictions_list(shop, lifted=True) == []


def test_people_are_left_out_by_value_and_by_pseudonym_and_nobody_else() -> None:
    named = pl.LazyFrame({"who": ["ann", pseudonym("ann", KEY), "bob", None], "n": [1, 2, 3, 4]})
    left = without(named, ["who", "gone"], {mark("ann", KEY)}, KEY)
    assert left.collect()["n"].to_list() == [3, 4]
    numbers = pl.LazyFrame({"who": [7, 8]})
    assert without(numbers, ["who"], {mark("7", KEY)}, KEY).collect()["who"].to_list() == [8]
    assert without(named, ["who"], {mark("eve", KEY)}, KEY).collect().height == 4
