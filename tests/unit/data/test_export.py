"""Rows that leave: read back by the libraries of each format, and never over what is there."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from thrive.data.exporting import export
from thrive.data.operations import add
from thrive.data.reading import find_version
from thrive.domain.errors import Conflict, UsageError

FRAME = pl.DataFrame({"id": [1, 2, 3], "x": [0.5, None, 2.5], "word": ["a", "b", "ü"]})
READERS = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}


@pytest.fixture
def rows(project, tmp_path):
    FRAME.write_parquet(tmp_path / "rows.parquet")
    return add(project, "rows.parquet", name="rows")


@pytest.mark.parametrize("ending", READERS)
def test_rows_are_read_back(project, rows, tmp_path, ending):
    target = f"out/rows{ending}"
    told = export(project, "rows@1", to=target)
    assert (told.rows, told.to) == (3, str(tmp_path / target))
    assert_frame_equal(READERS[ending](tmp_path / target), FRAME)
    with pytest.raises(Conflict, match="is there already"):
        export(project, "rows", to=target)
    assert [each.name for each in (tmp_path / "out").iterdir()] == [f"rows{ending}"]


def test_a_delta_table_gets_versions_and_the_digest_in_its_history(project, rows, tmp_path):
    deltalake = pytest.importorskip("deltalake")
    assert export(project, "rows", to="delta:lake/rows").to == "delta:lake/rows@0"
    FRAME.with_columns(new=pl.lit(1)).write_parquet(tmp_path / "rows.parquet")
    add(project, "rows.parquet", name="rows")
    assert export(project, "rows@2", to="delta:lake/rows").to == "delta:lake/rows@1"
    table = deltalake.DeltaTable(str(tmp_path / "lake" / "rows"))
    assert_frame_equal(pl.read_delta(table), FRAME.with_columns(new=pl.lit(1)))
    digest = find_version(project, "rows", 2).digest
    assert table.history()[0]["thrive"] == f"rows@2 {digest}"
    again = add(project, "delta:lake/rows@0", name="back")
    assert again.rows == 3


def test_what_does_not_say_its_kind_is_refused(project, rows, tmp_path):
    with pytest.raises(UsageError, match="does not say what to write"):
        export(project, "rows", to="rows.xlsx")
