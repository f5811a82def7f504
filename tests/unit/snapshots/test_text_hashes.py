"""Hashes of a column are those of its texts one by one, and differ where texts or keys do."""

import random

import polars as pl

from thrive.store.snapshots.text_hashes import hash_of, hashes_of

KEYS = (0, 1, 0xFFFF_FFFF_FFFF_FFFF, 0x0123_4567_89AB_CDEF)


def test_a_column_has_the_hashes_of_its_texts() -> None:
    chance = random.Random(5)
    letters = "aé0 ☃\0😀"
    texts = ["".join(chance.choices(letters, k=count % 41)) for count in range(2000)]
    texts += ["x" * 5000, "", "a", "a\0", "a\0\0"]
    for key in KEYS:
        assert hashes_of(pl.Series(texts), key).tolist() == [hash_of(each, key) for each in texts]
    assert hashes_of(pl.Series([], dtype=pl.String), 7).tolist() == []


def test_unlike_texts_have_unlike_hashes_and_so_has_one_text_under_two_keys() -> None:
    texts = pl.Series([f"customer-{n:08}@example.org" for n in range(100_000)])
    found = [set(hashes_of(texts, key).tolist()) for key in KEYS]
    assert all(len(each) == len(texts) for each in found)
    assert not found[2] & found[3]
    padded = {hash_of("a" + "\0" * more, 3) for more in range(30)}
    assert len(padded) == 30


def test_each_bit_of_a_hash_is_set_in_half_of_the_texts() -> None:
    hashes = hashes_of(pl.Series([str(n) for n in range(20_000)]), KEYS[3])
    for bit in range(64):
        share = float(((hashes >> bit) & 1).mean())
        assert 0.48 < share < 0.52, bit  # 0.5 and six times the deviation of a fair coin
