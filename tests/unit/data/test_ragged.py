"""Lines that end early and columns of one name become failed checks, told with their line."""

from pathlib import Path

import pytest

from thrive.data.operations import add
from thrive.domain.errors import UsageError
from thrive.operations import Context


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("a,b\n1,2\n3\n", "every line has all fields: 1 ends before the last field, the first is"),
        ("a,b\n1,2\n\n3\n4\n", ": 2 end before the last field, the first is line 4"),
        ('a,b\n1,"x,\ny"\n3,"z"\n4', ": 1 ends before the last field, the first is line 5"),
        ('a;b;c\n"1;1";2;\n3;"4;5"\n', ": 1 ends before the last field, the first is line 3"),
        ("a,a\n1,2\n", "every column has its own name: 'a' names 2 columns: all but the first"),
    ],
)
def test_what_a_table_does_not_show_is_said(
    context: Context, tmp_path: Path, text: str, failed: str
) -> None:
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    (tmp_path / "rides.csv").write_text(text)
    added = add(context, "rides.csv")
    assert not added.trainable
    assert failed in added.failed[0]


@pytest.mark.parametrize("text", ["a,b\n1,\n,2\n", 'a,b\n1,"x\n,y"\n2,\n', "a\n1\n\n2\n"])
def test_missing_values_are_no_fault(context: Context, tmp_path: Path, text: str) -> None:
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    (tmp_path / "rides.csv").write_text(text)
    assert add(context, "rides.csv").failed == []


@pytest.mark.parametrize("text", ["a,b\n1,2\n3,4,5\n6,7,8,9\n", 'a,b\n1,2\n"x\ny",2,3\n'])
def test_the_first_line_with_too_many_fields_is_named(
    context: Context, tmp_path: Path, text: str
) -> None:
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    (tmp_path / "rides.csv").write_text(text)
    with pytest.raises(UsageError, match=r"line 3 of .* has more fields than its header"):
        add(context, "rides.csv")


def test_lines_that_end_as_on_old_computers_are_refused(context: Context, tmp_path: Path) -> None:
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    (tmp_path / "rides.csv").write_bytes(b"a,b\r1,x\r2,y\r")
    with pytest.raises(UsageError, match="its lines end with a carriage return alone"):
        add(context, "rides.csv")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("zip,n,m\n02134,10,01\n10001,20,12\n", "zip"),
        ('n;"a b"\n1;"0012"\n2;"0013"\n', "a b"),
        ("zip,n\n10001,1\n94110,2\n", ""),
        ("code,n\n007x,1\n008,2\n", ""),
        ("share,n\n0.123,1\n0.456,2\n", ""),
        ("n,day\n1,2024-001\n1001,2024-002\n", ""),
    ],
)
def test_numbers_that_lose_their_zeros_are_told(
    context: Context, tmp_path: Path, text: str, named: str
) -> None:
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    (tmp_path / "rides.csv").write_text(text)
    added = add(context, "rides.csv")
    words = f"{named}: read as numbers, without the zeros that values begin with"
    assert (added.trainable, added.note) == (True, words if named else "")


def test_zeros_are_looked_for_in_the_head_of_a_long_file(context: Context, tmp_path: Path) -> None:
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    lines = [f"{number},0{number}" for number in range(1000, 21_000)]
    (tmp_path / "rides.csv").write_text("\n".join(["n,code", *lines]))
    assert add(context, "rides.csv").note.startswith("code: read as numbers")
