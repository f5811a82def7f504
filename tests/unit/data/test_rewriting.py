"""Files without one person's rows: the rest stays byte for byte, in every spelling of a format."""

import gzip
import io

import polars as pl
import pytest

from thrive.data.rewriting import without_person
from thrive.domain.errors import UsageError

TEXT = {"who": pl.String(), "n": pl.Int64()}
NUMBER = {"who": pl.Int64(), "n": pl.Int64()}


def csv(data: bytes, value: str, kinds=TEXT, name: str = "a.csv") -> bytes:
    return without_person(data, name, kinds, ["who"], (value,))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"who,n\nada,1\nbob,2\n", b"who,n\nbob,2\n"),
        (b"who,n\r\nada,1\r\nbob,2\r\n", b"who,n\r\nbob,2\r\n"),
        (b"\xef\xbb\xbfwho;n\nada;1\nbob;2", b"\xef\xbb\xbfwho;n\nbob;2"),
        (b"n,who\n1,ada\n2,bob\n", b"n,who\n2,bob\n"),
        (b"who,n\nbob,2\nada,1", b"who,n\nbob,2"),
        (b'who,n\n"ada",1\n"bob, ada",2\n', b'who,n\n"bob, ada",2\n'),
        (b'who,n\n"bob\nada",2\nada,1\n', b'who,n\n"bob\nada",2\n'),
        (b"who,n\nadam,1\nada,2\nada ,3\n", b"who,n\nadam,1\nada ,3\n"),
        (b"who,n\nada,1\nada,2\n", b"who,n\n"),
    ],
)
def test_only_the_lines_of_the_person_go(before: bytes, after: bytes) -> None:
    assert csv(before, "ada").rstrip(b"\n") == after.rstrip(b"\n")


def test_a_record_of_several_lines_goes_whole() -> None:
    data = b'who,n,words\nada,1,"first\nsecond, ""quoted""\n"\nbob,2,x\n'
    kinds = {**TEXT, "words": pl.String()}
    assert csv(data, "ada", kinds) == b"who,n,words\nbob,2,x\n"


def test_very_long_fields_can_be_read() -> None:
    data = b'who,n\n"' + b"x" * 200_000 + b'",1\nada,2\n'
    assert csv(data, "ada") == data[: -len(b"ada,2\n")]


def test_numbers_are_compared_as_numbers() -> None:
    assert csv(b"who,n\n007,1\n7,2\n70,3\n", "7", NUMBER) == b"who,n\n70,3\n"
    assert csv(b"who,n\n7,1\n", "seven", NUMBER) == b"who,n\n7,1\n"


def test_packed_files_are_packed_again() -> None:
    packed = csv(gzip.compress(b"who,n\nada,1\nbob,2\n"), "ada", name="a.csv.gz")
    assert gzip.decompress(packed) == b"who,n\nbob,2\n"
    assert packed == csv(gzip.compress(b"who,n\nada,1\nbob,2\n"), "ada", name="a.csv.gz")


def test_json_lines_are_compared_as_values_however_they_are_spelled() -> None:
    lines = [
        b'{"who":"zo\\u00eb","n":1}',
        '{"who": "zoë"}'.encode(),
        b'{"who":"zo","n":"zo\xc3\xab"}',
    ]
    kept = without_person(b"\n".join([*lines, b""]), "a.jsonl", TEXT, ["who"], ("zoë",))
    assert kept == lines[2] + b"\n"
    numbers = b'{"who":7}\n{"who":70}\n{"n":7}\n'
    assert without_person(numbers, "a.jsonl", NUMBER, ["who"], ("7",)) == b'{"who":70}\n{"n":7}\n'


def test_parquet_keeps_its_types() -> None:
    frame = pl.DataFrame(
        {
            "who": ["ada", "bob", None],
            "at": [[1], [2], [3]],
            "k": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
        }
    )
    target = io.BytesIO()
    frame.write_parquet(target)
    kept = without_person(target.getvalue(), "a.parquet", frame.schema, ["who"], ("ada",))
    assert pl.read_parquet(io.BytesIO(kept)).equals(frame.slice(1))


def test_other_kinds_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be rewritten"):
        without_person(b"\x89PNG", "a.png", TEXT, ["who"], ("ada",))
