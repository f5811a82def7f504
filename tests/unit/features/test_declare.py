"""What a declaration says, when it is a new version, and what an expression may hold."""

import json

import polars as pl
import pytest

from thrive.domain.errors import NotFound, UnsafeModel, UsageError
from thrive.features.declare import feature_view, on_demand
from thrive.features.discover import load_declared
from thrive.features.windows import windowed
from thrive.packaging.expressions import pack_expression, unpack_expression

VIEWS = '''
import polars as pl
from thrive import feature_view, on_demand

COLUMNS = ["temp", "wind"]

def helper():
    return COLUMNS

@feature_view(entity="origin", event_time="at", source="weather", ttl="6h", owner="data-platform")
def weather(rows):
    """What the sky does."""
    return rows.select("origin", "at", *helper())

@on_demand
def minute(hhmm: pl.Expr) -> pl.Expr:
    return hhmm // 100 * 60 + hhmm % 100
'''


def digest_of(folder, text):
    (folder / "features.py").write_text(text)
    return load_declared(folder).view("weather").definition.digest


def test_what_changes_values_is_a_new_version_and_nothing_else_is(tmp_path):
    first = digest_of(tmp_path, VIEWS)
    same = (
        ("What the sky does.", "The sky."),
        ("data-platform", "flights-ml"),
        ("def w", "\n\ndef w"),
    )
    for old, new in same:
        assert digest_of(tmp_path, VIEWS.replace(old, new)) == first, new
    other = ('"temp", ', ""), ("6h", "7h"), ('"at", *', '"at", pl.lit(1).alias("one"), *')
    for old, new in (*other, ("return COLUMNS", "return COLUMNS[:1]")):
        assert digest_of(tmp_path, VIEWS.replace(old, new)) != first, new


def test_a_file_declares_views_and_on_demand_features(tmp_path):
    (tmp_path / "features.py").write_text(VIEWS)
    declared = load_declared(tmp_path)
    weather = declared.view("weather").definition
    assert (weather.why, weather.ttl, weather.sources) == (
        "What the sky does.",
        6 * 3600 * 10**6,
        ["weather"],
    )
    assert declared.on_demand["minute"].inputs == ["hhmm"]
    with pytest.raises(NotFound, match="no feature view 'wether'"):
        declared.chosen(["wether"])
    (tmp_path / "features.py").write_text("1 / 0")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load_declared(tmp_path)


def test_a_time_is_needed_where_time_matters():
    with pytest.raises(UsageError, match="need an event time"):
        feature_view(entity="k", source="s", ttl="1h")
    with pytest.raises(UsageError, match="is not a duration"):
        feature_view(entity="k", source="s", event_time="at", ttl="soon")(lambda rows: rows)


def expression_cases():
    col = pl.col
    return [
        col("a") // 100 * 60 + col("a") % 100,
        col("t").dt.weekday().cast(pl.Int64),
        col("t").dt.hour(),
        pl.when(col("a") > 1).then(pl.lit("x")).otherwise(None),
        col("s").str.to_lowercase(),
        col("a").fill_null(0).abs(),
        col("f").log1p().round(2),
        pl.max_horizontal("a", "f"),
        col("a").is_null() | (col("s") == "JFK"),
        (col("a") / col("f")).clip(0, 10),
    ]


@pytest.mark.parametrize("expression", expression_cases(), ids=str)
def test_an_expression_travels_and_means_the_same(expression):
    from datetime import datetime

    rows = pl.DataFrame(
        {"a": [2215, None], "f": [0.5, 2.0], "s": ["JFK", "x"], "t": [datetime(2024, 3, 31, 2)] * 2}
    )
    again = unpack_expression(pack_expression(expression, "x"))
    assert rows.select(again.alias("y")).equals(rows.select(expression.alias("y")))


@pytest.mark.parametrize(
    "expression",
    [
        pl.col("a").map_elements(lambda v: v, return_dtype=pl.Int64),
        pl.col("a").map_batches(lambda v: v, return_dtype=pl.Int64),
        pl.col("a").sum(),
        pl.col("a").shift(1),
        pl.col("a").rolling_mean(3),
        pl.col("a").mean().over("b"),
        pl.col("a").fill_null(strategy="forward"),
        pl.col("a").is_duplicated(),
        pl.col("a").is_first_distinct(),
        pl.col("b").str.join(","),
        pl.col("a").is_null().any(),
        pl.all(),
    ],
    ids=range(12),
)
def test_what_calls_python_or_reads_other_rows_cannot_be_served(expression):
    with pytest.raises(UsageError, match="cannot be served"):
        pack_expression(expression, "x")


def test_a_forged_expression_is_refused_before_polars_reads_it():
    honest = json.loads(pack_expression(pl.col("a") + 1, "x"))
    forged = pl.col("a").map_batches(lambda v: v, return_dtype=pl.Int64)
    honest["BinaryExpr"]["left"] = json.loads(forged.meta.serialize(format="json"))
    for text in (
        json.dumps(honest),
        "{",
        "[]",
        '{"Column": [128, 4]}',
        '{"Literal": {"Series": [1]}}',
    ):
        with pytest.raises(UnsafeModel):
            unpack_expression(text)


def test_on_demand_must_return_an_expression():
    @on_demand
    def three(a):
        return 3

    with pytest.raises(UsageError, match="returned a int"):
        three.expression()


FAULTY = """
import polars as pl
from thrive import feature_view, on_demand

@feature_view(entity="k", source="s")
def broken(rows):
    names = {}
    return rows.select(names["k"])

@feature_view(entity="k", source="s")
def eager(rows):
    return rows.collect()

@on_demand
def python(a):
    return a.map_elements(lambda value: value + 1, return_dtype=pl.Int64)
"""


def test_a_view_that_fails_is_told_with_its_line_and_an_eager_one_is_refused(tmp_path):
    (tmp_path / "features.py").write_text(FAULTY)
    declared = load_declared(tmp_path)
    rows = pl.LazyFrame({"k": [1]})
    with pytest.raises(
        UsageError, match=r"'broken' failed at features.py:8: KeyError: 'k'"
    ) as told:
        declared.view("broken")(rows)
    assert told.value.hint == "mend features.py:8"
    with pytest.raises(UsageError, match="'eager' returned a DataFrame") as told:
        declared.view("eager")(rows)
    assert "leave out .collect()" in told.value.hint
    with pytest.raises(UsageError, match="'python' cannot be served"):
        declared.on_demand["python"].packed()


def test_what_comes_from_thrive_is_no_code_of_the_view():
    @feature_view(entity="origin", event_time="at", source="weather")
    def recent(rows):
        return windowed(rows, by="origin", time="at", period="3h", n=("temp", "count"))

    assert "windowed(rows" in recent.definition.code
    assert "def windowed" not in recent.definition.code
