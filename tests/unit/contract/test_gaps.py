from pathlib import Path

import pytest

from thrive.contract.gaps import gaps, gaps_for_model
from thrive.contract.parse import parse
from thrive.contract.template import new_contract

WHOLE = (Path(__file__).parent / "whole.toml").read_text()
TEAMS = {"data-platform", "flights-ml"}


def test_the_whole_contract_has_no_gap_once_its_teams_are_reached():
    assert gaps(parse(WHOLE), TEAMS) == []
    assert gaps_for_model(parse(WHOLE), "flight-delay", ["flights"], TEAMS) == []


def test_teams_nobody_reached_yet_are_the_only_gaps_of_the_whole_contract():
    found = gaps(parse(WHOLE))
    assert [(gap.line, gap.path, gap.blocks) for gap in found] == [
        (7, "team.data-platform.channel", "production"),
        (9, "team.flights-ml.channel", "production"),
    ]
    assert "has not answered a test message" in found[0].what
    assert "thrive teams test data-platform" in found[0].fix


@pytest.mark.parametrize(
    ("line", "path", "what"),
    [
        ("purpose   =", "model.flight-delay.purpose", "has no purpose"),
        ("owner     =", "model.flight-delay.owner", "has no owner"),
        ("users     =", "model.flight-delay.users", "has no users"),
        ("where     =", "model.flight-delay.where", "has no where"),
        ("risk      =", "model.flight-delay.risk", "undecided"),
        ("sla       =", "model.flight-delay.sla", "without p99_ms, availability, max_age"),
        ("owner       =", "data.flights.owner", "has no owner"),
        ("why         =", "data.flights.why", "has no why"),
        ("personal    =", "data.flights.personal", "has no personal"),
        ("legal_basis =", "data.flights.legal_basis", "has no legal_basis"),
        ("licence     =", "data.flights.licence", "has no licence"),
        ("retention   =", "data.flights.retention", "has no retention"),
    ],
)
def test_each_missing_line_is_one_gap_that_blocks_production(line, path, what):
    kept = [row for row in WHOLE.split("\n") if not row.startswith(line)]
    assert len(kept) == len(WHOLE.split("\n")) - 1
    for found in (
        gaps(parse("\n".join(kept)), TEAMS),
        gaps_for_model(parse("\n".join(kept)), "flight-delay", ["flights"], TEAMS),
    ):
        assert [gap.path for gap in found] == [path]
        assert what in found[0].what
        assert found[0].blocks == "production"
        assert "\n" not in found[0].what + found[0].fix
        table = f"[{path.rpartition('.')[0]}]"
        assert kept[found[0].line - 1].startswith(table)


def test_what_training_needs_blocks_training():
    kept = "\n".join(row for row in WHOLE.split("\n") if not row.startswith("target    ="))
    found = [(gap.path, gap.blocks) for gap in gaps(parse(kept), TEAMS)]
    assert found == [("model.flight-delay.target", "train")]


def test_a_dataset_that_steps_make_needs_no_source_but_who_answers_for_it():
    kept = [row for row in WHOLE.split("\n") if not row.startswith("source      =")]
    assert gaps(parse("\n".join(kept)), TEAMS) == []
    silent = "\n".join(row for row in kept if not row.startswith("why         ="))
    found = [(gap.path, gap.blocks) for gap in gaps(parse(silent), TEAMS)]
    assert ("data.flights.source", "train") in found


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (
            "delay-warning: tell the operations desk two hours ahead which departures will arrive over 15 minutes late.",
            "tell who is late",
            "too little",
        ),
        (
            "delay-warning: tell the operations desk two hours ahead which departures will arrive over 15 minutes late.",
            "Flight-Delay",
            "repeats its name",
        ),
        ('"minimal" ', '"prohibited" ', "no road to production"),
        ("p99_ms = 25, availability = 99.9", "p99_ms = 25", "without availability"),
        ('users     = ["operations desk board"]', 'users = [" "]', "no users"),
        (
            '"flights-ml",    within = "7 days" }',
            '"nobody",    within = "7 days" }',
            "names the team 'nobody'",
        ),
        ('channel = "mailto:data-platform@example.org"', "", "team 'data-platform' has no channel"),
        (
            "[team.data-platform] ",
            "[team.elsewhere] ",
            "names the team 'data-platform', which is not declared",
        ),
    ],
)
def test_an_answer_that_says_too_little_is_a_gap(old, new, what):
    text = WHOLE.replace(old, new)
    assert text != WHOLE
    found = gaps(parse(text), TEAMS)
    assert len(found) == 1
    assert what in found[0].what
    assert found[0].blocks == "production"


def test_a_batch_model_promises_no_latency():
    text = WHOLE.replace('"http" ', '"batch" ').replace("p99_ms = 25, availability = 99.9, ", "")
    assert gaps(parse(text), TEAMS) == []


def test_a_model_answers_for_the_data_it_was_made_from_only():
    text = WHOLE + '\n[data.other]\nsource = "x.csv"\n'
    assert gaps_for_model(parse(text), "flight-delay", ["flights"], TEAMS) == []
    found = gaps_for_model(parse(text), "flight-delay", ["flights", "other", "weather"], TEAMS)
    assert "nothing is said about the dataset 'weather'" in found[0].what
    assert {gap.path.split(".")[1] for gap in found[1:]} == {"other"}


def test_a_model_nobody_declared_is_a_gap():
    found = gaps_for_model(parse(WHOLE), "x", [], TEAMS)
    assert [gap.path for gap in found] == ["model.x"]
    assert [gap.path for gap in gaps(parse(""))] == ["model"]


def test_a_new_project_is_told_all_that_production_asks_for():
    text = new_contract("rides", "data/rides.csv", owner="us", purpose="", target="tip")
    assert [(gap.line, gap.path, gap.blocks) for gap in gaps(parse(text))] == [
        (6, "data.rides.owner", "production"),
        (6, "data.rides.why", "production"),
        (6, "data.rides.personal", "production"),
        (6, "data.rides.legal_basis", "production"),
        (6, "data.rides.licence", "production"),
        (6, "data.rides.retention", "production"),
        (9, "model.rides.users", "production"),
        (9, "model.rides.where", "production"),
        (9, "model.rides.sla", "production"),
        (10, "model.rides.purpose", "production"),
        (11, "model.rides.owner", "production"),
        (13, "model.rides.risk", "production"),
    ]


def test_more_approvals_than_people_who_are_asked_is_a_gap():
    line = "approvals = { production = 1 }"
    few = WHOLE.replace(line, 'approvals = { production = 2 }\napprovers = ["ana"]')
    (gap,) = gaps(parse(few), TEAMS)
    assert "asks 2 approvals of 1 people" in gap.what
    assert few.split("\n")[gap.line - 1] == 'approvers = ["ana"]'
    assert gaps(parse(few.replace('["ana"]', '["ana"]\nbusiness_owner = "ben"')), TEAMS) == []
