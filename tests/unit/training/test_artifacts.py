import pickle

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from thrive.domain.errors import Damaged, UsageError
from thrive.training.artifacts import (
    ALIGNMENT,
    DEFLATED,
    INLINE_BYTES,
    MAGIC,
    ArtifactStore,
    decode,
    encode,
)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "kept"), str(tmp_path / "lent"))


def test_arrays_are_mapped_aligned_and_private(store):
    array = np.arange(100_000, dtype=np.float64)
    ref = store.keep({"x": array, "y": [1, "two"]}, "a dict")
    first, second = store.fetch(ref), store.fetch(ref)
    assert np.array_equal(first["x"], array)
    assert first["y"] == [1, "two"]
    assert first["x"].__array_interface__["data"][0] % ALIGNMENT == 0
    first["x"][0] = -1.0
    assert second["x"][0] == 0.0
    assert store.fetch(ref)["x"][0] == 0.0


def test_equal_content_has_one_digest(store):
    array = np.ones(1000)
    assert store.keep(array, "").digest == store.keep(array.copy(), "").digest


def test_equal_frames_have_one_digest_wherever_a_query_left_their_texts(store):
    names = [*(f"customer-number-{n:06}@example.org" for n in range(1000)), None]
    rows = pl.DataFrame({"who": names, "number": range(len(names))})
    backwards = {name: rows[name].to_list()[::-1] for name in rows.columns}
    turned = pl.DataFrame(backwards).reverse()
    assert_frame_equal(rows, turned)
    assert encode(rows, "") == encode(turned, "")
    for frame in (rows, rows.clear(), rows.select(n=1), pl.DataFrame()):
        assert_frame_equal(store.fetch(store.keep(frame, "")), frame)


def test_a_frame_keeps_its_types(store):
    frame = pl.DataFrame({"c": ["x", "y", None], "n": [1, 2, 3], "t": [0, 1, 2]}).with_columns(
        pl.col("c").cast(pl.Categorical), pl.col("t").cast(pl.Datetime("us", "UTC"))
    )
    ref = store.keep(frame, "a frame")
    assert ref.kind == "arrow"
    assert_frame_equal(store.fetch(ref), frame)
    assert_frame_equal(store.fetch(store.lend(frame, "a frame")), frame)


def test_small_arguments_travel_in_the_message_and_large_ones_do_not(store, tmp_path):
    assert store.fetch(store.lend(5, "n")) == 5
    assert not any((tmp_path / "lent").rglob("[0-9a-f]" * 62))
    large = store.lend(np.zeros(INLINE_BYTES), "a")
    assert (large.data, large.lent) == (b"", True)
    assert store.fetch(large).shape == (INLINE_BYTES,)


def test_what_cannot_travel_is_named():
    with pytest.raises(UsageError, match=r"A function cannot travel between steps \(the result"):
        encode(lambda: 1, "the result of fit")


def test_other_bytes_are_refused():
    with pytest.raises(Damaged):
        decode("pickle", pickle.dumps(list(range(20))))


def test_what_shrinks_is_compressed_and_what_does_not_or_is_mapped_is_not(store):
    words = [f"flight {n % 977} to {n % 13}" for n in range(20_000)]
    noise = np.random.default_rng(0).bytes(300_000)
    value = {"words": words, "zeros": np.zeros(100_000)}
    ref = store.keep(value, "words")
    assert store.keep({"words": list(words), "zeros": np.zeros(100_000)}, "").digest == ref.digest
    found = store.fetch(ref)
    assert found["words"] == words
    assert found["zeros"].__array_interface__["data"][0] % ALIGNMENT == 0
    assert 800_000 < ref.size < 800_000 + 0.8 * len(pickle.dumps(words))

    beginnings = {
        name: encode(each, "")[1][0][:8] for name, each in {"w": words, "n": noise}.items()
    }
    assert beginnings == {"w": DEFLATED, "n": MAGIC}
    assert store.fetch(store.keep(noise, "noise")) == noise


def test_frames_that_shrink_are_compressed(store):
    rng = np.random.default_rng(0)
    noise = pl.DataFrame({"x": rng.random(50_000)})
    dull = pl.DataFrame({"c": ["EWR", "JFK"] * 50_000, "n": range(100_000)})
    for frame, shrinks in ((noise, False), (dull, True)):
        ref = store.keep(frame, "a frame")
        assert (ref.size < 0.8 * frame.estimated_size()) == shrinks
        assert_frame_equal(store.fetch(ref), frame)
