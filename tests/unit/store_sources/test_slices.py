"""Rows as many Parquet files: the rows as they were, and an edit leaves almost all files alone."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from blake3 import blake3
from polars.testing import assert_frame_equal

from thrive.store.sources import slices
from thrive.store.sources.slices import WHOLE, write_rows

ROWS = 30_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files of some thousand rows."""
    monkeypatch.setattr(slices, "SLICE_BYTES", 64 << 10)
    monkeypatch.setattr(slices, "WHOLE_BYTES", 256 << 10)
    monkeypatch.setattr(slices, "BATCH_ROWS", 4_000)


def table(rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(4)
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "x": rng.normal(size=rows),
            "word": rng.choice(["red", "green"], rows),
            "list": [[1, 2]] * rows,
        }
    )


def written(rows: pl.DataFrame | pl.LazyFrame, folder: Path) -> dict[bytes, int]:
    """Write a table, check that it comes back, and return the sizes of its files by digest."""
    folder.mkdir()
    assert write_rows(rows, folder) == folder
    files = sorted(folder.iterdir())
    assert_frame_equal(pl.read_parquet(files), rows.lazy().collect())
    return {blake3(file.read_bytes()).digest(): file.stat().st_size for file in files}


def test_a_change_leaves_almost_all_files_alone(tmp_path: Path) -> None:
    whole = table()
    first = written(whole, tmp_path / "first")
    assert len(first) > 7
    longer = pl.concat([whole, table(1_500).with_columns(x=pl.col("x") + 9)])
    inserted = pl.concat([whole[:15_000], whole[:1].with_columns(x=pl.lit(1.5)), whole[15_000:]])
    edited = whole.with_columns(x=pl.when(pl.col("id") == 77).then(0.0).otherwise(pl.col("x")))
    for name, changed, most in (
        ("longer", longer, 0.25),
        ("inserted", inserted, 0.25),
        ("shorter", whole[1:], 0.25),
        ("edited", edited, 0.25),
    ):
        after = written(changed, tmp_path / name)
        new = sum(size for digest, size in after.items() if digest not in first)
        assert new / sum(after.values()) < most, name


def test_a_streamed_table_is_cut_alike(tmp_path: Path) -> None:
    assert written(table(), tmp_path / "held") == written(table().lazy(), tmp_path / "streamed")


def test_rows_without_a_mark_are_cut_too(tmp_path: Path) -> None:
    same = pl.DataFrame({"x": [0.25] * ROWS, "list": [[1]] * ROWS})
    written(same, tmp_path / "same")
    written(same.select("list"), tmp_path / "lists")
    for folder in ("same", "lists"):
        heights = [pl.read_parquet(each).height for each in (tmp_path / folder).iterdir()]
        assert max(heights) < ROWS


@pytest.mark.parametrize("rows", [0, 1, 900])
def test_a_small_table_is_one_file(tmp_path: Path, rows: int) -> None:
    for lazy in (False, True):
        folder = tmp_path / f"{lazy}"
        folder.mkdir()
        given = table(rows)
        assert write_rows(given.lazy() if lazy else given, folder) == folder / WHOLE
        assert_frame_equal(pl.read_parquet(folder / WHOLE), given)
