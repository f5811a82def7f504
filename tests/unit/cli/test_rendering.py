"""What people, pipes and programs see of a result."""

import io
import typing
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from thrive.cli.parse import parse
from thrive.cli.progress import ProgressLine, progress_text
from thrive.cli.render import Place, Style, render
from thrive.cli.safe import printable
from thrive.cli.values import cell, human_size
from thrive.domain.actor import ANYONE
from thrive.domain.errors import UsageError
from thrive.domain.project import Page
from thrive.flows.catalogue import load_all
from thrive.operations import Context, Kind, Operation, registered

PEOPLE = Style(as_json=False, for_people=True, colour=False)
PIPE = Style(as_json=False, for_people=False, colour=False)
JSON = Style(as_json=True, for_people=False, colour=False)
DIGEST = "ab" * 32


class Colour(StrEnum):
    DARK_RED = "dark red"


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    digest: str = DIGEST
    made_at: int = 1_357_000_000_000_000
    size: int = 1_500_000
    colour: Colour = Colour.DARK_RED
    share: float = 0.123456789
    inside: dict[str, int] = {}


def shown(value, style):
    stream = io.StringIO()
    render(value, style, stream)
    return stream.getvalue()


def test_people_see_short_values():
    out = shown([Thing(name="x")], PEOPLE)
    assert "abababababab " in out
    assert "2013-01-01T00:26:40Z" in out
    assert "1.5 MB" in out
    assert "0.12346" in out
    assert "dark red" in out


def test_numbers_by_name_are_told_in_a_cell_and_people_are_told_of_the_first():
    things = [Thing(name="x"), Thing(name="y", inside={"a": 1, "b": 20_000, "c": 3, "d": 4})]
    out = shown(things, PEOPLE)
    assert "a 1, b" in out
    assert "20,000" in out
    assert "d 4" not in out
    assert shown(things, PIPE).splitlines()[2].endswith("\ta 1, b 20000, c 3, d 4")


def test_pipes_get_whole_values_and_a_stable_header():
    out = shown([Thing(name="x")], PIPE)
    assert out.splitlines()[0] == "name\tdigest\tmade_at\tsize\tcolour\tshare\tinside"
    assert out.splitlines()[1].split("\t")[1] == DIGEST
    assert "1500000" in out


def test_json_is_whole():
    assert msgspec.json.decode(shown(Thing(name="x"), JSON), type=Thing) == Thing(name="x")
    assert shown({"path": Path("/a")}, JSON) == '{"path":"/a"}\n'
    assert shown(float("nan"), JSON) == "null\n"


def test_pages_say_how_to_go_on():
    page = Page(items=[Thing(name="x")], next="17")
    assert shown(page, PEOPLE).endswith("more: --after 17\n")
    assert "more" not in shown(page, PIPE)


def test_empty_lists():
    assert shown([], PEOPLE) == "none\n"
    assert shown([], PIPE) == ""
    assert shown([], JSON) == "[]\n"


def test_a_record_shows_its_lists_as_tables():
    out = shown({"name": "x", "parts": [{"part": 1}, {"part": 2}], "words": ["a", "b"]}, PIPE)
    assert out == "name\tx\nwords\ta, b\n\nparts:\npart\n1\n2\n"


def test_people_read_what_was_found_before_the_digests():
    verdict = {"record": DIGEST, "answer": "fail", "results": [{"check": "quality"}]}
    said = shown(verdict, PEOPLE)
    assert said.index("answer") < said.index("quality") < said.index("record")
    assert shown(verdict, PIPE).startswith("record\t")


def test_people_are_spared_a_long_list_of_digests_that_pipes_get():
    value = {"libraries": {f"l{number}": DIGEST for number in range(30)}}
    assert shown(value, PEOPLE) == "libraries  30 digests (--json lists them)\n"
    assert shown(value, PIPE).count(DIGEST) == 30


def test_a_stream_is_printed_as_it_comes():
    assert shown(iter([{"a": 1}, {"a": 2}]), JSON) == '{"a":1}\n{"a":2}\n'
    assert shown(iter([{"a": 1, "b": "x"}]), PIPE) == "1\tx\n"


@pytest.mark.parametrize("style", [PEOPLE, PIPE])
def test_stored_text_cannot_steer_the_terminal(style):
    evil = "\x1b[2Jgone\r\n\x07\u202eback\x9b31m"
    for value in ([{"name": evil}], {"name": evil, evil: 1}, evil, iter([{"name": evil}])):
        out = shown(value, style)
        assert not {"\x1b", "\r", "\x07", "\u202e", "\x9b"} & set(out)
        assert "\\x1b[2Jgone" in out.replace("\n", "").replace(" ", "")


def test_printable_keeps_plain_text_and_line_ends_when_asked():
    assert printable("größe 東京") == "größe 東京"
    assert printable("a\nb\tc") == "a\\nb\\tc"
    assert printable("a\nb", lines=True) == "a\nb"


def test_cells():
    assert cell("trainable", True, people=True) == "yes"
    assert cell("trainable", True, people=False) == "true"
    assert cell("x", None, people=True) == "-"
    assert cell("rows", 336776, people=True) == "336,776"
    assert cell("closed_at", 0, people=True) == "0"
    assert cell("rmse", 1_234_567.8, people=True) == "1,234,568"
    assert cell("rmse", 0.1234567, people=True) == "0.12346"
    assert cell("delay_p90", 2_401_510, people=True) == "2 s"
    assert cell("delay_p90", 2_401_510, people=False) == "2.40151 s"
    assert human_size(2.5e12) == "2.5 TB"


def test_progress_shows_share_and_time_left():
    text = progress_text(0.25, "storing\x1b", 10.0)
    assert text == f"[{'#' * 6}{'.' * 18}]  25%   30 s left  storing\\x1b"


def test_progress_is_quiet_in_a_pipe(capsys):
    with ProgressLine() as progress:
        progress._started -= 100
        progress(0.5, "working")
    assert capsys.readouterr().err == ""


def declared(function) -> Operation:
    return Operation("things do", function, kind=Kind.CALL, role=ANYONE, writes=False, next_hint="")


def run_like(
    ctx: Context,
    target: str,
    params: list[str] = [],  # noqa: B006
    *,
    name: str = "",
    dry: bool = False,
):
    """Run."""


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ("t.py --rate 0.05", ["--rate", "0.05"]),
        ("t.py --rate=0.05 --name n --deep-er 3", ["--rate=0.05", "--deep-er", "3"]),
        ("t.py --fast --dry --x -1", ["--fast", "--x", "-1"]),
        ("t.py a=1 --b 2 -- --name --", ["a=1", "--b", "2", "--name", "--"]),
    ],
)
def test_unknown_options_are_passed_on_as_typed(words, params):
    arguments = parse(declared(run_like), words.split())
    assert arguments["target"] == "t.py"
    assert arguments["params"] == params
    assert arguments.get("dry", False) is ("--dry" in words)


def typed(
    ctx: Context,
    path: Path,
    *,
    colour: Colour | None = None,
    many: list[str] = [],  # noqa: B006
    sure: bool,
    for_: int = 1,
):
    """Try types."""


def test_words_become_typed_values():
    words = ["a/b", "--colour", "dark red", "--many", "x", "--many", "y", "--no-sure", "--for", "3"]
    assert parse(declared(typed), words) == {
        "path": Path("a/b"),
        "colour": "dark red",
        "many": ["x", "y"],
        "sure": False,
        "for_": 3,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [("p --sure --colour blue", "dark red"), ("p", "sure"), ("p --sure --fr 2", "--for")],
)
def test_wrong_words_name_the_option(words, said):
    with pytest.raises(UsageError, match=said):
        parse(declared(typed), words.split())


def test_people_see_the_columns_an_operation_names_and_programs_all() -> None:
    rows = [{"name": "a", "up": False, "host": {"url": "http://x"}, "silent_for": 4_000_000}]
    chosen = PEOPLE._replace(columns=("host.url", "up", "silent_for"))
    header, _, line = shown(rows, chosen).strip().splitlines()
    assert header.split() == ["url", "up", "silent", "for"]
    assert line.split() == ["http://x", "no", "4", "s"]
    assert "name" in shown(rows, PIPE._replace(columns=chosen.columns))


@pytest.mark.parametrize("width", [60, 80, 100, 119, 120, 160])
def test_a_table_that_is_too_wide_loses_no_letter(monkeypatch, width) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [
        {
            "id": "ai-iv-1h-instructions", "cited": "AI Act art. 10(2)(e)-(h), 10(3)-(4)",
            "title": "Suitability, gaps, bias, representation", "owner": "dispatch",
            "fix": 'thrive duties answer late-delivery --field contact="flights-ml@example.org, now"',
        }
    ]  # fmt: skip
    letters = [each for each in shown(rows, PEOPLE) if each.isalnum()]
    wanted = [each for row in rows for pair in row.items() for text in pair for each in text]
    assert sorted(letters) == sorted(each for each in wanted if each.isalnum())


def test_the_columns_of_every_list_are_fields_of_what_it_returns() -> None:
    load_all()
    for each in registered().values():
        (kind,) = typing.get_args(each.returns) if each.columns else (None,)
        for name in each.columns:
            first, _, rest = name.partition(".")
            field = next(field for field in msgspec.structs.fields(kind) if field.name == first)
            assert not rest or rest in field.type.__struct_fields__


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    text: str


def test_a_document_is_printed_as_it_is_below_what_is_said_of_it() -> None:
    paper = Paper(kind="card", text="# Card\n\n| a |\x1b[2J\n")
    assert shown(paper, PEOPLE) == "kind  card\n\n# Card\n\n| a |\\x1b[2J\n\n"
    deep = {"alert": {"title": "Bad", "evidence": {"psi": 2}}, "text": "It moved."}
    assert shown(deep, PEOPLE) == "alert.title  Bad\n\nIt moved.\n"
    assert "alert.evidence.psi\t2\n" in shown(deep, PIPE)
    assert shown(paper, PIPE) == "kind\tcard\n\n# Card\n\n| a |\\x1b[2J\n\n"
    assert shown(deep, PIPE).endswith("text\tIt moved.\n")


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    url: str = "http://127.0.0.1:8100"
    kind: str = "Datetime(time_unit='us', time_zone='UTC')"


class Around(msgspec.Struct, frozen=True, kw_only=True):
    up: bool = True
    host: Inside = Inside()
    notes: list[str]


def test_names_that_users_gave_are_shown_as_they_are():
    out = shown({"metrics": {"roc_auc": 0.5}, "made_at": 0}, PEOPLE)
    assert "metrics.roc_auc" in out
    assert "made at" in out


def test_records_inside_a_row_reach_pipes_and_sentences_have_lines_of_their_own():
    sentence = "a note of a whole sentence, with a comma and a full stop."
    around = Around(notes=["short", sentence])
    assert shown([around], PIPE).splitlines()[0] == "up\thost.url\thost.kind"
    lines = shown(around, PEOPLE).splitlines()
    assert lines[-3:] == ["notes:", "- short", f"- {sentence}"]
    assert any(line.endswith("Datetime(us, UTC)") for line in lines)
    assert Inside().kind in shown(around, PIPE)


def test_on_a_terminal_each_look_takes_the_place_of_the_last():
    stream = io.StringIO()
    place = Place(stream, width=10)
    place.show("one\n" + "\x1b[1m" + "x" * 21 + "\x1b[0m\n")  # the second line takes three rows
    place.show("two\n")
    place.show("three\n")
    assert stream.getvalue().split("\x1b[J")[1:] == ["two\n\x1b[1F", "three\n"]
    assert "\x1b[4F\x1b[J" in stream.getvalue()
    looks = iter([Thing(name="x"), Thing(name="y")])
    drawn = io.StringIO()
    render(looks, PEOPLE._replace(live=True), drawn)
    assert drawn.getvalue().count("\x1b[J") == 1
    assert "size     1.5 MB" in drawn.getvalue()
    assert "\x1b" not in shown(iter([Thing(name="x")]), PIPE)
