"""Personal data: what is proposed, what a person says of it, and where no value may ever stand."""

import sqlite3
import zlib

import polars as pl
import pytest
from blake3 import blake3
from tests.unit.data.contents import file_digests

from thrive.data.comparing import diff
from thrive.data.confirming import confirm
from thrive.data.labels import propose
from thrive.data.operations import add
from thrive.data.questions import open_questions
from thrive.data.reading import find_version
from thrive.domain.errors import NotFound, UsageError
from thrive.flows.data_show import show

GOOD = {
    "email": ["ann.lee@example.org", "bob@mail.example.com", "x+y@sub.example.net"],
    "phone": ["+49 30 901820", "+44 20 7946 0958", "(030) 901820-12"],
    "iban": [
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "FR1420041010050500013M02606",
    ],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009"],
    "ip": ["192.0.2.17", "2001:db8::1", "198.51.100.3"],
    "national-id": ["078-05-1120", "12345678Z", "44051401359"],
    "address": ["12 Abbey Road", "Hauptstraße 5, Berlin", "221B Baker Street"],
}
INNOCENT = {
    "product code": ["A-1001", "B-2002", "C-3003"],
    "amounts": ["1299", "10", "4500"],
    "long numbers": ["4111111111111112", "1234567890123456", "9999999999999999"],
    "wrong iban": ["DE89370400440532013001", "GB30NWBK60161331926819", "FR15"],
    "versions": ["1.2.3", "2.0.1", "10.4.12"],
    "dates": ["2024-01-02", "2024-02-03", "2024-03-04"],
    "days of America": ["01/02/2024", "01/13/2024", "02/28/24"],
    "cities": ["Rome", "Oslo", "Lima"],
    "words": ["red", "a longer note about nothing", "blue"],
}


def proposed(name: str, values: list) -> str | None:
    series = pl.Series(values)
    found = propose(name, series, series.dtype)
    return found.kind if found else None


@pytest.mark.parametrize("kind", GOOD)
def test_a_kind_is_known_by_the_form_of_its_values(kind):
    assert proposed("c1", GOOD[kind]) == kind


@pytest.mark.parametrize("what", INNOCENT)
def test_what_only_looks_alike_is_left_alone(what):
    assert proposed("c1", INNOCENT[what]) is None


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("customerFirstName", ["Ann", "Bob"], "name"),
        ("Nachname", ["Lee", "Müller"], "name"),
        ("name", ["Ann Lee", "Bob O'Hara"], "name"),
        ("name", ["Widget", "Gadget"], None),
        ("customer", ["Ann Lee", "Bob O'Hara"], "name"),
        ("driver", ["Lee, Ann", "O'Hara, Bob"], "name"),
        ("customer", ["C-17", "C-18"], None),
        ("product", ["Red Chair", "Blue Table"], None),
        ("mobile", [4930901820, 4930901821], "phone"),
        ("ssn", [78051120, 219099999], "national-id"),
        ("card_number", [4111111111111111, 5500000000000004], "card"),
        ("departure", [1, 2], None),
        ("trip_id", [4111111111111111, 17], None),
    ],
)
def test_names_of_columns_speak_too(name, values, kind):
    assert proposed(name, values) == kind


@pytest.mark.parametrize("name", ["date_of_birth", "birth", "born_on"])
def test_a_birthday_needs_a_date(name):
    days = pl.Series([None], dtype=pl.Date)
    found = propose(name, None, days.dtype)
    assert found is not None
    assert (found.kind, found.by) == ("birth date", "its name")
    assert proposed(name, ["Oslo", "Rome"]) in (None, "birth date")
    assert proposed("birth_weight", [3400, 3500]) is None


def test_free_text_is_searched_inside():
    notes = ["The parcel was left beside the green door in the yard."] * 50
    assert proposed("note", notes) is None
    notes[7] = "Please write to ann.lee@example.org before you come on Thursday."
    assert proposed("note", notes) == "email"


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["ok", "call ann@example.org", "ok", "late"], "email"),
        (["ok", "ring +49 170 1234567", "ok"], "phone"),
        (["u17", "u18", "u19", "ann.lee@example.org"], "email"),
        (["ok", "see AB12 3456 7890 12", "@home"], None),
    ],
)
def test_short_texts_are_searched_inside_for_what_is_unmistakable(texts, kind):
    assert proposed("remark", texts) == kind


@pytest.mark.parametrize(
    ("values", "kind", "by"),
    [
        (
            [{"id": 1, "email": "ann@example.org"}],
            "email",
            "its name and the form of its values, in user.email",
        ),
        ([{"contact": {"home_phone": 4930901820}}], "phone", "its name"),
        ([["red", "ann@example.org"], ["blue"]], "email", "what stands inside its texts"),
        ([[{"mail": "ann@example.org"}], []], "email", "its name and the form of its values"),
        ([{"height": 1.8, "tags": ["red"]}], None, None),
        ([[0.25, 0.5]], None, None),
    ],
)
def test_structures_and_lists_are_looked_into(values, kind, by):
    column = pl.Series("user", values)
    found = propose("user", column, column.dtype)
    assert (found and found.kind) == kind
    assert by is None or found.by.startswith(by)


def test_nested_personal_data_asks_a_person_and_is_read_empty(project, tmp_path):
    lines = [f'{{"id": {n}, "user": {{"mail": "z{n}@planted.example"}}}}' for n in range(30)]
    (tmp_path / "visits.jsonl").write_text("\n".join(lines))
    assert "user (email?)" in add(project, "visits.jsonl", name="visits").note


def test_rows_that_come_in_turns_are_all_looked_at(project, tmp_path):
    rows = [f"{n},{'idle' if n % 6 else f'z{n}@planted.example'}" for n in range(1, 6001)]
    (tmp_path / "turns.csv").write_text("\n".join(["n,said", *rows]))
    assert "said (email?)" in add(project, "turns.csv", name="turns").note


def people(n: int = 40) -> str:
    rows = [
        f"{i},Zebedee Quux{i},zebedee{i}@planted.example,+44 20 7946 {1000 + i},{i % 7}"
        for i in range(n)
    ]
    return "\n".join(["id,full_name,contact,line,score", *rows]) + "\n"


@pytest.fixture
def planted(project, tmp_path):
    (tmp_path / "people.csv").write_text(people())
    return add(project, "people.csv", name="people")


def test_a_proposal_asks_a_person(project, planted):
    columns = {each.name: each for each in show(project, "people").columns}
    assert {name: each.proposed for name, each in columns.items() if each.asked} == {
        "full_name": "name",
        "contact": "email",
        "line": "phone",
    }
    assert "full_name (name?)" in planted.note
    assert "thrive data confirm people@1" in planted.note


def test_values_of_proposed_columns_are_nowhere_but_in_the_data(project, planted, tmp_path, capsys):
    confirm(project, "people", reason="read the file")
    (tmp_path / "people.csv").write_text(people() + "x,Zebedee Quux,nobody,gone,high,\n")
    with pytest.raises(UsageError) as caught:
        add(project, "people.csv", name="people")
    written = str(caught.value).encode() + capsys.readouterr().out.encode()
    copied = blake3((tmp_path / "people.csv").read_bytes()).hexdigest()
    data = {digest[2:] for digest in (copied, *file_digests(project, "people"))}
    for path in (tmp_path / ".thrive").rglob("*"):
        if path.is_file() and path.name not in data:
            written += path.read_bytes()
    for database in (tmp_path / ".thrive").glob("*.db"):
        for line in sqlite3.connect(database).iterdump():
            written += line.encode()
    start = 0
    packed = b""
    while (start := written.find(b"\x78", start)) >= 0:
        try:
            packed += zlib.decompressobj().decompress(written[start:])
        except zlib.error:
            pass
        start += 1
    for word in (b"Quux", b"planted.example", b"7946 10"):
        assert word not in written + packed, word


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('id,mail\n1,"zebedee@planted.example\n2,x\n3,y\n', "close the quotation marks"),
        ("zebedee@planted.example,+44 20 7946 0958\nx@planted.example,+44 20 7946 0959\n", "name"),
        (
            "id,line\n" + "1,2\n" * 11000 + '"zebedee"@planted.example,4\n',
            "close the quotation marks",
        ),
    ],
)
def test_no_refusal_of_a_file_tells_its_values(project, tmp_path, text, remedy):
    (tmp_path / "odd.csv").write_text(text)
    with pytest.raises(UsageError) as caught:
        add(project, "odd.csv", name="odd")
    assert "planted" not in caught.value.what
    assert "7946" not in caught.value.what
    assert caught.value.hint.startswith(remedy)


def test_a_confirmed_label_is_remembered_and_a_new_column_asks_again(project, planted, tmp_path):
    said = confirm(project, "people", ["line=none"], reason="extension numbers of the office")
    assert [(each.column, each.personal, each.proposed) for each in said] == [
        ("line", "none", "phone")
    ]
    rest = confirm(project, "people", reason="as proposed")
    assert {each.column: each.personal for each in rest} == {
        "full_name": "name",
        "contact": "email",
    }
    (tmp_path / "people.csv").write_text(people(50))
    second = find_version(project, "people", add(project, "people.csv", name="people").version)
    assert not any(column.asked for column in second.columns)
    assert {c.name: c.personal for c in second.columns if c.personal} == {
        "full_name": "name",
        "contact": "email",
        "line": "none",
    }
    lines = people(50).splitlines()
    wider = [f"{lines[0]},grade", *(f"{line},{i}" for i, line in enumerate(lines[1:]))]
    (tmp_path / "people.csv").write_text("\n".join(wider) + "\n")
    third = add(project, "people.csv", name="people")
    assert (third.trainable, third.failed) == (False, []), "nobody said what grade holds"
    assert "the column 'grade' (Int64) is new" in third.note
    version = find_version(project, "people", third.version)
    assert [column.name for column in open_questions(version, {}, {})] == ["grade"]


def test_a_label_given_late_takes_the_values_out_of_the_profile(project, tmp_path):
    (tmp_path / "p.csv").write_text("nick,n\n" + "zorro,1\n" * 5 + "kiki,2\n")
    add(project, "p.csv", name="p")
    before = find_version(project, "p").profile
    assert before["columns"]["nick"]["top"][0] == ["zorro", 5]
    confirm(project, "p", ["nick=name"], reason="they are people")
    after = find_version(project, "p").profile
    assert after["columns"]["nick"] == {"missing": 0, "distinct": 2}
    assert after["sketches"] != before["sketches"]
    assert not project.home.blobs.has(before["sketches"])


def test_a_label_written_late_shows_no_value_from_then_on(project, tmp_path):
    contract = tmp_path / "thrive.toml"
    plain = contract.read_text() + '\n[data.p]\nsource = "p.csv"\nowner = "o"\nwhy = "w"\n'
    contract.write_text(plain)
    (tmp_path / "p.csv").write_text("nick,n\n" + "zorro,1\n" * 5 + "kiki,2\n")
    add(project, "p.csv", name="p")
    (tmp_path / "p.csv").write_text("nick,n\n" + "zorro,1\n" * 2 + "kiki,2\n")
    add(project, "p.csv", name="p")
    assert show(project, "p").columns[0].top[0] == ["zorro", 2]
    assert "nick" in {each.column for each in diff(project, "p").distributions}
    contract.write_text(plain + 'personal = { nick = "name", n = "age" }\n')
    nick, number = show(project, "p").columns
    assert (nick.personal, nick.top, nick.distinct) == ("name", [], 2)
    assert (number.min, number.max, number.mean) == (None, None, None)
    found = diff(project, "p")
    assert found.distributions == []
    assert {each.change for each in found.columns if each.column == "n"} <= {"missing", "distinct"}


def test_a_failed_check_does_not_hide_that_columns_are_to_be_named(project, tmp_path):
    (tmp_path / "p.csv").write_text("id,mail\n1,z@planted.example\n2\n")
    note = add(project, "p.csv", name="p").note
    assert "a check failed; say which of these hold personal data before training: mail" in note


def test_a_label_needs_a_reason_a_form_and_a_column(project, planted):
    with pytest.raises(UsageError, match="reason"):
        confirm(project, "people", reason=" ")
    with pytest.raises(UsageError, match="no label"):
        confirm(project, "people", ["line"], reason="r")
    with pytest.raises(NotFound, match="no column 'lime'"):
        confirm(project, "people", ["lime=phone"], reason="r")
