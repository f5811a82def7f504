"""Batch scoring: any table in parts, cut short and taken up again, logged like requests."""

import fcntl
from pathlib import Path

import polars as pl
import pytest
from tests.serving_home import (
    CONTRACT,
    MODEL,
    SAMPLE,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

from thrive.domain.actor import local_actor
from thrive.domain.errors import Conflict, NotFound, UsageError
from thrive.flows.score import predictions_score
from thrive.operations import Context
from thrive.packaging.formats.constant import Constant
from thrive.packaging.package import pack
from thrive.serving import scoring
from thrive.serving.sealing import seal_logs
from thrive.store.eventlog.writer import SegmentWriter
from thrive.store.prediction_frames import predictions_between

FOREVER = 1 << 53


@pytest.fixture
def ctx(tmp_path):
    home = make_home(tmp_path)
    version = add_version(home, constant_package(0.3, EWR=0.7, JFK=0.1))
    route(home, live(version))
    yield Context(home, local_actor("ada"), folder=tmp_path, operation="predictions score")
    home.close()


def table(rows: int = 25) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "flight_id": [f"f{n}" for n in range(rows)],
            "origin": [("EWR", "JFK", "LGA")[n % 3] for n in range(rows)],
            "wind": [None if n % 5 == 0 else float(n) for n in range(rows)],
            "note": ["kept"] * rows,
        }
    )


def read(folder) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("part-*.parquet"))])


def test_a_table_is_scored_in_parts_and_logged(ctx, tmp_path):
    table().write_csv(tmp_path / "in.csv")
    done = predictions_score(ctx, MODEL, "in.csv", tmp_path / "out", rows=10)
    assert (done.rows, done.answered, done.refused, done.parts, done.resumed) == (25, 25, 0, 3, 0)
    found = read(tmp_path / "out")
    assert found["note"].to_list() == ["kept"] * 25
    assert found["flight_id"].to_list() == table()["flight_id"].to_list()
    assert found["score"].to_list() == [(0.7, 0.1, 0.3)[n % 3] for n in range(25)]
    assert found["decision"].to_list() == [("true", "false", "false")[n % 3] for n in range(25)]
    seal_logs(ctx.home, force=True)
    logged = predictions_between(ctx.home, 0, FOREVER, MODEL)
    assert set(logged["prediction_id"]) == set(found["prediction_id"])
    assert set(logged["variant"]) == {"batch"}
    assert sorted(logged["k.flight_id"]) == sorted(found["flight_id"])


def test_a_csv_file_is_read_as_datasets_are(ctx, tmp_path):
    text = table(4).write_csv(separator=";", null_value="NA")
    (tmp_path / "in.csv").write_text(text)
    done = predictions_score(ctx, MODEL, "in.csv", tmp_path / "out")
    assert (done.answered, done.refused) == (4, 0)
    rows = read(tmp_path / "out")
    assert rows["wind"].to_list() == table(4)["wind"].to_list()


@pytest.mark.parametrize("head", [1, 12_000])
def test_no_refusal_of_a_table_tells_its_values(ctx, tmp_path, head):
    lines = ["f,EWR,1,1"] * head + ["f,EWR,zebedee,zebedee"]
    (tmp_path / "in.csv").write_text("\n".join(["flight_id,origin,wind,extra", *lines]))
    with pytest.raises(UsageError) as caught:
        predictions_score(ctx, MODEL, "in.csv", tmp_path / "out")
    assert "wind" in caught.value.what
    assert "zebedee" not in caught.value.what


def test_what_was_cut_short_goes_on_and_another_input_does_not(ctx, tmp_path):
    table().write_parquet(tmp_path / "in.parquet")
    out = tmp_path / "out"
    first = predictions_score(ctx, MODEL, "in.parquet", out, rows=10)
    before = (out / "part-00000.parquet").read_bytes()
    (out / "part-00001.parquet").unlink()
    again = predictions_score(ctx, MODEL, "in.parquet", out, rows=10)
    assert (first.resumed, again.resumed, again.answered) == (0, 2, 25)
    assert (out / "part-00000.parquet").read_bytes() == before
    assert read(out)["prediction_id"].n_unique() == 25
    table(26).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(Conflict, match="another scoring"):
        predictions_score(ctx, MODEL, "in.parquet", out, rows=10)


@pytest.mark.parametrize("logged", [False, True])
def test_a_kill_around_the_log_leaves_no_row_twice_and_none_out(ctx, tmp_path, monkeypatch, logged):
    """A part is whole when it is logged, and else done again: a kill is an error at that step."""
    table().write_parquet(tmp_path / "in.parquet")
    out = tmp_path / "out"
    whole = Path.replace if logged else scoring._write_whole

    def killed(path, *words):
        if ".part-00001" in path.name:
            if not logged:
                whole(path, *words)
            raise SystemExit("killed")
        return whole(path, *words)

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "replace") if logged else (scoring, "_write_whole")), killed)
        with pytest.raises(SystemExit):
            predictions_score(ctx, MODEL, "in.parquet", out, rows=10)
    assert (out / ".part-00001.parquet.new").exists()
    again = predictions_score(ctx, MODEL, "in.parquet", out, rows=10)
    assert (again.resumed, again.answered) == (1 + logged, 25)
    seal_logs(ctx.home, force=True)
    said = predictions_between(ctx.home, 0, FOREVER, MODEL)["prediction_id"].to_list()
    assert sorted(said) == sorted(read(out)["prediction_id"])
    assert read(out)["flight_id"].to_list() == table()["flight_id"].to_list()
    assert sorted(each.name for each in out.glob(".*")) == []


def test_two_processes_do_not_score_into_one_folder(ctx, tmp_path):
    table().write_parquet(tmp_path / "in.parquet")
    predictions_score(ctx, MODEL, "in.parquet", tmp_path / "out", rows=10)
    with (tmp_path / "out" / "scoring.json").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="Another process scores"):
            predictions_score(ctx, MODEL, "in.parquet", tmp_path / "out", rows=10)


def test_rows_that_do_not_fit_say_why_and_tables_that_do_not_are_refused(tmp_path):
    home = make_home(tmp_path)
    package = constant_package(0.3, EWR=0.7, JFK=0.1)
    version = add_version(home, package)
    ctx = Context(home, local_actor("ada"), folder=tmp_path, operation="predictions score")
    table(3).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(NotFound, match="No version of delay is in production"):
        predictions_score(ctx, MODEL, "in.parquet", tmp_path / "out")
    name = f"{MODEL}@{version.version}"
    table(3).drop("wind").write_parquet(tmp_path / "less.parquet")
    with pytest.raises(UsageError, match="no column 'wind'"):
        predictions_score(ctx, name, "less.parquet", tmp_path / "less")
    texts = table(3).with_columns(wind=pl.lit("strong"))
    texts.write_parquet(tmp_path / "texts.parquet")
    with pytest.raises(UsageError, match="not what the model takes"):
        predictions_score(ctx, name, "texts.parquet", tmp_path / "texts")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(Conflict, match="not empty"):
        predictions_score(ctx, name, "in.parquet", tmp_path / "full")
    nameless = table(3).with_columns(origin=pl.Series(["EWR", None, "JFK"]))
    nameless.write_parquet(tmp_path / "gaps.parquet")
    done = predictions_score(ctx, name, "gaps.parquet", tmp_path / "gaps")
    found = read(tmp_path / "gaps")
    taken = package.manifest.signature.inputs[0].nullable
    assert found["error"].to_list() == ["", "" if taken else "origin is missing", ""]
    assert done.refused == (0 if taken else 1)
    home.close()


def test_odd_values_that_the_contract_refuses_are_refused_row_by_row(tmp_path):
    home = make_home(tmp_path)
    package = pack(Constant(value=0.3), SAMPLE, positive=True, refused=["unseen", "outside"])
    version = add_version(home, package)
    ctx = Context(home, local_actor("ada"), folder=tmp_path, operation="predictions score")
    rows = table(4).with_columns(
        origin=pl.Series(["EWR", "SFO", "JFK", "JFK"]), wind=pl.Series([1.0, 1.0, 99.0, None])
    )
    rows.write_parquet(tmp_path / "in.parquet")
    done = predictions_score(ctx, f"{MODEL}@{version.version}", "in.parquet", tmp_path / "out")
    words = ["", "origin is none of the 3 known categories", "wind is above 3.5", ""]
    assert read(tmp_path / "out")["error"].to_list() == words
    assert (done.answered, done.refused) == (2, 2)
    home.close()


def test_a_server_beside_it_keeps_its_log_and_the_contract_its_mask(tmp_path):
    contract = CONTRACT.replace("fallback = 0.2", 'fallback = 0.2\nlog = { mask = ["wind"] }')
    home = make_home(tmp_path, contract)
    version = add_version(home, constant_package(0.3), contract=contract)
    route(home, live(version))
    ctx = Context(home, local_actor("ada"), folder=tmp_path, operation="predictions score")
    table(4).write_parquet(tmp_path / "in.parquet")
    home.log_folder.mkdir(exist_ok=True)
    with SegmentWriter(home.log_folder, 0):
        assert predictions_score(ctx, MODEL, "in.parquet", tmp_path / "out").answered == 4
    seal_logs(home, force=True)
    logged = predictions_between(home, 0, FOREVER, MODEL)
    assert "x.wind" not in logged.columns
    assert logged.height == 4
    home.close()
