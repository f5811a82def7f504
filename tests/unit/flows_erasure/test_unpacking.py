"""A value is found in whatever packs it, and in the middle of a pack."""

import bz2
import gzip
import io
import lzma
import random
import sys
import zipfile
import zlib

import polars as pl
import pyarrow as pa
import pytest

from thrive.flows.erasure.sought import Sought
from thrive.training.artifacts import encode

PERSON = "ada.lovelace@example.org"
TEXT = "".join(f"{random.Random(n).random()};" for n in range(99)).encode() + PERSON.encode()[::-1]
HIDDEN = TEXT.replace(PERSON.encode()[::-1], PERSON.encode()) * 3


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data).to_pybytes()


def zipped(data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"nobody")
        archive.writestr("b", data)
    return target.getvalue()


def masked(data: bytes) -> bytes:
    """Return the data under a stream of its own, so that no raw literal of it stays readable."""
    return lzma.compress(data)


PACKERS = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zlib": zlib.compress,
    "zip": zipped,
    "zstd": lambda data: zstd(masked(data)),
    "two members": lambda data: gzip.compress(b"nobody") + gzip.compress(data),
    "two frames": lambda data: zstd(b"nobody") + zstd(masked(data)),
    "result of a step": lambda data: b"".join(encode([data * 20], "")[1]),
    "packed twice": lambda data: gzip.compress(bz2.compress(data)),
}


@pytest.mark.parametrize("packed", PACKERS.values(), ids=PACKERS)
def test_a_value_is_found_in_what_packs_it(packed) -> None:
    person = Sought(PERSON)
    data = packed(HIDDEN)
    assert not person.in_raw(data)
    assert person.named_in(data)
    assert not person.named_in(packed(TEXT))


@pytest.mark.parametrize("name", ["gzip", "zstd", "result of a step"])
def test_a_stream_is_found_in_the_middle_of_a_pack(name) -> None:
    packed = PACKERS[name]
    pack = b"before" + packed(TEXT) + packed(HIDDEN) + b"behind"
    assert Sought(PERSON).named_inside(pack)
    assert not Sought(PERSON).named_inside(pack.replace(packed(HIDDEN), b""))


def test_a_zstd_text_is_found_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    lines = [f"{n},{PERSON[:-1]}{n}" for n in range(2000)] + [f"1,{PERSON}"]
    assert Sought(PERSON).named_in(zstd("\n".join(lines).encode()))
    assert not Sought(PERSON).named_in(zstd("\n".join(lines[:-1]).encode()))


def test_tables_are_found_in_the_middle_of_a_pack() -> None:
    tables = [io.BytesIO() for _ in range(3)]
    for who, target in zip(("bob", PERSON, "eve"), tables, strict=True):
        pl.DataFrame({"who": [who] * 5}).write_parquet(target, compression="zstd")
    pack = b"".join(each.getvalue() for each in tables)
    assert Sought(PERSON).named_inside(pack)
    assert not Sought("max@example.org").named_inside(pack)


def test_what_only_looks_packed_is_searched_as_it_is() -> None:
    for magic in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh", b"x\x9c"):
        assert Sought(PERSON).named_in(magic + b"broken" + PERSON.encode())
        assert not Sought(PERSON).named_in(magic + b"broken")
