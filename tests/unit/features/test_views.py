"""Views brought online, read by key, listed; and the same values in a training set."""

import sqlite3

import msgspec
import polars as pl
import pytest
from tests.unit.features.conftest import START, VIEWS, set_clock, write_weather

from thrive import features
from thrive.contract.parse import load
from thrive.data import operations as data
from thrive.data.lineage import lineage
from thrive.data.reading import find_version
from thrive.domain.actor import local_user
from thrive.domain.errors import ContractGap, NotFound, UsageError
from thrive.domain.features import FeatureColumn, SpecView
from thrive.features import feature_view
from thrive.features.discover import load_declared
from thrive.flows.data_show import show as show_data
from thrive.flows.data_use import refuse_use
from thrive.flows.feature_catalog import list_views, show
from thrive.flows.feature_freshness import tell_late_views
from thrive.flows.features import get, materialize, plan
from thrive.flows.online_features import OnlineFeatures
from thrive.flows.personal_data import data_reads, grants_give
from thrive.flows.used_features import UsedFeatures
from thrive.flows.view_origins import Origin, column_origins
from thrive.store import jobs, runs

HOUR = 3_600_000_000
NOON = int(START.timestamp() * 1e6) + 12 * HOUR


def test_materializing_brings_what_is_known_now_online_and_twice_changes_nothing(project):
    assert [(line.view, line.change, line.action) for line in plan(project)] == [
        ("weather", "new", "materialize"),
        ("plane", "new", "materialize"),
    ]
    first = {line.view: line for line in materialize(project)}
    assert (first["weather"].rows, first["weather"].changed) == (2, 2)
    assert first["weather"].newest_at == NOON - HOUR, "what is measured at noon is known at one"
    assert first["plane"].rows == 3
    again = materialize(project)
    assert [(line.changed, line.note) for line in again] == [(0, "nothing new")] * 2
    assert [line.action for line in plan(project)] == ["nothing", "nothing"]


def test_time_goes_on_and_only_what_differs_is_written(project):
    materialize(project)
    set_clock(project, "2024-05-01T14:00Z")
    (line, _) = materialize(project)
    assert (line.changed, line.newest_at) == (2, NOON + HOUR)
    write_weather(project.folder, 13)  # the source lost the last hours
    data.add(project, "weather.parquet", name="weather")
    (line, _) = materialize(project)
    assert (line.changed, line.newest_at) == (2, NOON)
    assert line.sources == ["weather@2"]


def test_values_are_read_by_key_and_expire(project):
    materialize(project)
    found = get(project, key=["origin=JFK"])
    assert found.values == {"temp": 22.0, "windy": False}
    assert (found.status, found.age) == ({"weather": "present"}, {"weather": "1 h"})
    set_clock(project, "2024-05-01T17:00Z")
    assert get(project, key=["origin=JFK"]).status == {"weather": "present"}, "six hours old"
    set_clock(project, "2024-05-01T17:01Z")
    stale = get(project, key=["origin=JFK"])
    assert (stale.values, stale.status) == (
        {"temp": None, "windy": None},
        {"weather": "stale"},
    )
    assert get(project, key=["origin=XXX"]).status == {"weather": "missing"}
    both = get(project, ["plane"], key=["tailnum=N1", "leg=2"])
    assert (both.values, both.age) == ({"age": 24}, {})


def test_online_and_training_give_the_same_values_at_the_same_moment(project):
    materialize(project)
    keys = [
        {"origin": origin, "tailnum": tail, "leg": leg}
        for origin in ("JFK", "LGA", "XXX", None)
        for tail, leg in (("N1", 2), ("N2", 1), ("N2", 2))
    ]
    rows = pl.DataFrame(keys).with_columns(hhmm=pl.lit(615), asked=pl.lit(START.replace(hour=12)))
    found = features.online(["weather", "plane"], keys)
    wanted = features.training_set(rows, ["weather", "plane", "minute"], time="asked", status=True)
    for name in ("temp", "windy", "age"):
        assert list(found.values[name]) == wanted[name].to_list(), name
    for view in ("weather", "plane"):
        assert found.status[view] == wanted[f"{view}_status"].to_list()
    assert wanted["minute"].unique().to_list() == [375]


def test_a_change_of_the_code_is_a_new_version_and_readers_follow(project):
    materialize(project)
    reader = OnlineFeatures(project.folder, ["weather"])
    (project.folder / "features.py").write_text(VIEWS.replace('"temp", windy', '"temp", cold'))
    assert [(line.change, line.version) for line in plan(project)] == [("changed", 2), ("none", 1)]
    materialize(project, ["weather"])
    reader._looked = 0
    assert "cold" in reader.read([{"origin": "JFK"}]).values
    reader.close()
    assert {line.name: line.version for line in list_views(project)} == {"plane": 1, "weather": 2}


def test_lists_say_how_fresh_views_are_and_that_nobody_uses_them(project):
    materialize(project)
    lines = {line.name: line for line in list_views(project)}
    assert (lines["weather"].state, lines["weather"].used_by) == ("fresh", "no model")
    assert lines["plane"].state == "online"
    set_clock(project, "2024-05-01T13:30Z")
    assert show(project, "weather").state == "late"
    assert "windy=pl.col" in show(project, "weather").code


def test_a_personal_value_is_read_online_as_a_pseudonym_without_a_grant(project):
    materialize(project, ["weather"])
    key = ["origin=JFK"]
    clear = get(project, ["weather"], key=key)
    assert (clear.pseudonyms, data_reads(project)) == ([], [])
    (project.folder / "thrive.toml").write_text(
        'contract = 1\n[data.weather]\npersonal = { temp = "health" }\n'
    )
    hidden = get(project, ["weather"], key=key)
    assert hidden.values["temp"].startswith("pseudonym-")
    assert hidden.pseudonyms == ["temp"]
    grants_give(project, "weather", purpose="tests", reason="values are computed")
    assert get(project, ["weather"], key=key).values == clear.values
    assert [(each.rows, each.pseudonymised) for each in data_reads(project)] == [
        (1, []),
        (1, ["temp"]),
    ]


def test_a_kept_training_set_names_its_views_and_inherits_labels(project):
    (project.folder / "thrive.toml").write_text(
        'contract = 1\n[data.weather]\npersonal = { temp = "health" }\n'
    )
    data.add(project, "weather.parquet", name="weather")
    reader = local_user().name
    grants_give(project, "weather", purpose="tests", reason="values are computed", reader=reader)
    rows = pl.DataFrame({"origin": ["JFK"], "asked": [START.replace(hour=9)]})
    features.training_set(rows, ["weather"], name="rows")
    kept = show_data(project, "rows")
    assert kept.source.startswith("features: weather ")
    assert kept.source.endswith(" over weather@1")
    assert {c.name: c.personal for c in kept.columns}["temp"] == "health"


def test_labels_go_with_a_column_that_a_view_renames():
    @feature_view(entity="k", event_time="at", source="riders", owner="x", why="y")
    def tidy(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.select(
            "k",
            "at",
            who=pl.col("name").str.to_lowercase(),
            letters=pl.col("name").str.len_chars(),
            both=pl.col("name") + pl.col("street"),
        )

    schema = pl.Schema(
        dict.fromkeys(("k", "name", "street"), pl.String) | {"at": pl.Datetime("us")}
    )
    assert column_origins(tidy, [schema]) == {
        "k": [Origin("riders", "k", same=True)],
        "at": [Origin("riders", "at", same=True)],
        "who": [Origin("riders", "name", same=True)],
        "letters": [Origin("riders", "name", same=False)],
        "both": [Origin("riders", each, same=False) for each in ("name", "street")],
    }


def kept_rows(project):
    materialize(project)
    asked = pl.DataFrame({"origin": ["JFK"], "asked": [START.replace(hour=9)]})
    asked.write_parquet(project.folder / "asked.parquet")
    data.add(project, "asked.parquet", name="asked", owner="data-platform", why="a test")
    features.training_set("asked", ["weather"], name="rows")
    return show_data(project, "rows")


def test_a_kept_training_set_stands_in_the_lineage_of_its_sources(project):
    kept = kept_rows(project)
    found = lineage(project, "rows")
    assert found.made_by == kept.made_by
    assert [(each.pipeline, each.state) for each in found.runs] == [
        ("features.training_set", "done")
    ]
    assert {each.dataset for each in found.datasets} == {"weather", "asked"}
    assert [each.dataset for each in lineage(project, "weather").datasets] == ["rows"]
    with project.read() as tx:
        uses = runs.find_uses(tx, project.project_id, found.made_by)
    assert ("feature_view", "weather", 1) in {(use.kind, use.name, use.version) for use in uses}
    features.training_set("asked", ["weather"], name="rows")
    assert show_data(project, "rows").made_by == kept.made_by, "made again, it is the same"


def test_rows_that_do_not_fit_are_given_over_the_version_that_is_kept(project):
    rows = pl.DataFrame({"origin": ["JFK", "LGA"], "asked": [START.replace(hour=9)] * 2})
    with pytest.raises(UsageError, match="where the lazy rows are kept"):
        features.training_set(rows, ["weather"], lazy=True)
    found = features.training_set(rows, ["weather"], lazy=True, name="rows")
    assert isinstance(found, pl.LazyFrame)
    assert found.collect().equals(features.training_set(rows, ["weather"]))
    assert not list((project.home.folder / "tmp").iterdir())


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ('allowed = ["marketing"]', "rows@1 is made from weather@1: weather@1 may serve marketing"),
        (
            'retention = "1 day"',
            "rows@1 is made from weather@1: weather@1 was to be kept for 1 day",
        ),
    ],
)
def test_purpose_and_retention_of_the_sources_hold_for_a_kept_training_set(project, terms, words):
    kept_rows(project)
    set_clock(project, "2024-05-05T12:00Z")
    contract = f'contract = 1\n[data.weather]\n{terms}\n[model.delay]\npurpose = "warn: early"\n'
    (project.folder / "thrive.toml").write_text(contract)
    version = find_version(project, "rows")
    with pytest.raises(ContractGap, match=words) as refused:
        refuse_use(project, version, load(project.folder), ["delay"])
    assert refused.value.what.startswith("thrive.toml:3:")


def test_history_can_be_taken_as_it_was_known(project):
    rows = pl.DataFrame({"origin": ["JFK"] * 2, "asked": [START.replace(hour=h) for h in (4, 9)]})
    now = features.training_set(rows, ["weather"])
    then = features.training_set(rows, ["weather"], as_of="2024-05-01T05:00Z")
    assert (now["temp"].to_list(), then["temp"].to_list()) == ([6.0, 16.0], [6.0, 8.0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda c: get(c, key=["origin"]), UsageError, "is no key"),
        (lambda c: get(c, ["sky"], key=["origin=J"]), NotFound, "no feature view 'sky'"),
        (lambda c: get(c, ["plane"], key=["origin=J"]), UsageError, "is about 'tailnum'"),
        (lambda c: get(c, key=["dest=J"]), NotFound, "No view is about dest"),
        (lambda c: get(c, key=["tailnum=N1", "leg=x"]), UsageError, "whole number, not 'x'"),
        (lambda c: materialize(c, ["sky"]), NotFound, "no feature view 'sky'"),
        (lambda c: show(c, "sky"), NotFound, "no feature view 'sky'"),
    ],
)
def test_wrong_words_are_answered(project, call, error, words):
    materialize(project)
    with pytest.raises(error, match=words):
        call(project)


def test_a_killed_writer_leaves_what_was_there(project, monkeypatch):
    materialize(project)
    before = get(project, key=["origin=JFK"])
    set_clock(project, "2024-05-01T14:00Z")

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("thrive.store.online.sqlite._insert", stopped)
    with pytest.raises(KeyboardInterrupt):
        materialize(project)
    monkeypatch.undo()
    monkeypatch.chdir(project.folder)
    assert get(project, key=["origin=JFK"]).values == before.values
    file = project.home.folder / "online" / "features.db"
    assert sqlite3.connect(file).execute("pragma integrity_check").fetchone() == ("ok",)
    assert materialize(project)[0].changed == 2


def test_the_owner_of_a_late_view_is_told_once_for_each_time(project):
    (project.folder / "thrive.toml").write_text(
        'contract = 1\n[team.data-platform]\nchannel = "file:messages.txt"\n'
    )
    materialize(project)
    assert tell_late_views(project) == []
    set_clock(project, "2024-05-01T13:30Z")
    assert tell_late_views(project) == ["weather"]
    assert tell_late_views(project) == []
    with project.read() as tx:
        (job,) = jobs.find(tx, project.project_id)
    assert job.arguments["subject"] == "Feature view weather is late"
    assert "2024-05-01T11:00:00Z, 2 h 30 min ago; 2 h were promised" in job.arguments["body"]
    materialize(project)
    assert tell_late_views(project) == []
    set_clock(project, "2024-05-01T18:00Z")
    assert tell_late_views(project) == ["weather"]


def test_a_change_that_is_undone_gives_the_version_of_before_back(project):
    materialize(project)
    (project.folder / "features.py").write_text(VIEWS.replace('ttl="6h"', 'ttl="1h"'))
    assert [line.version for line in materialize(project, ["weather"])] == [2]
    set_clock(project, "2024-05-01T14:00Z")
    assert (list_views(project)[1].version, list_views(project)[1].state) == (2, "stale")
    (project.folder / "features.py").write_text(VIEWS)
    set_clock(project, "2024-05-01T12:00Z")  # the same moment again: there is nothing to read
    assert [line.note for line in materialize(project, ["weather"])] == ["nothing new"]
    set_clock(project, "2024-05-01T14:00Z")
    found = get(project, key=["origin=JFK"])
    assert (found.status, found.age) == ({"weather": "present"}, {"weather": "3 h"})
    assert [(line.version, line.state) for line in list_views(project)][1] == (1, "late")
    assert show(project, "weather").version == 1


def test_views_that_gave_inputs_and_are_not_in_the_contract_are_told(project):
    plane = load_declared(project.folder).view("plane").definition
    columns = [FeatureColumn(name="age", dtype="Int64")]
    keys = [FeatureColumn(name=name, dtype="String") for name in plane.entity]
    spec = SpecView(name="plane", digest=plane.digest, keys=keys, columns=columns)
    used = UsedFeatures()
    said = {"spec": msgspec.to_builtins(spec), "definition": msgspec.to_builtins(plane)}
    used.add(project, {"views": [said], "on_demand": []})
    assert used.unnamed([], {"age", "distance"}) == ["plane"]
    assert used.unnamed(["plane"], {"age"}) == []
    assert used.unnamed([], {"distance"}) == []
