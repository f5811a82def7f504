from pathlib import Path

import pytest

from thrive.contract.loosened import loosened
from thrive.contract.parse import parse

WHOLE = (Path(__file__).parent / "whole.toml").read_text()

LOOSER = [
    (
        'unseen = "refuse"',
        'unseen = "answer"',
        "inputs.unseen: such requests are answered and no longer refused.",
    ),
    ("margin = 0.005", "margin = 0.02", "gates.quality.margin: 0.02 instead of 0.005."),
    ('"roc_auc"', '"accuracy"', "gates.quality.metric: judged by accuracy instead of roc_auc."),
    (
        'slices = ["origin", "carrier"]',
        'slices = ["origin"]',
        "gates.quality.slices: carrier no longer judged.",
    ),
    (
        "margin = 0.005",
        'margin = 0.005, baseline = "zero"',
        "gates.quality.baseline: compared with zero instead of prior.",
    ),
    (
        "equal_opportunity = 0.10",
        "equal_opportunity = 0.2",
        "gates.bias.equal_opportunity: 0.2 instead of 0.1.",
    ),
    (
        "equal_opportunity = 0.10",
        "calibration = 0.1",
        "gates.bias.equal_opportunity: no limit instead of 0.1.",
    ),
    ('groups = ["carrier"]', "groups = []", "gates.bias.groups: carrier no longer judged."),
    ("p50_ratio = 1.10", "p50_ratio = 3", "gates.speed.p50_ratio: 3 instead of 1.1."),
    (
        "speed   = {",
        'on_unclear = "warn"\nspeed = {',
        "gates.on_unclear: a check that cannot tell no longer refuses a version.",
    ),
    ("production = 1 }", "production = 0 }", "approvals.production: 0 instead of 1."),
    ("error_rate = 0.01", "error_rate = 0.5", "release.guard.error_rate: 0.5 instead of 0.01."),
    ("0.01, p99_ms = 25", "0.01, p99_ms = 250", "release.guard.p99_ms: 250 instead of 25."),
    ('"ab 50% 1d", ', "", "release.phases: ab for none instead of 1 day."),
    ("shadow 1h", "shadow 5 min", "release.phases: shadow for 5 min instead of 1 h."),
    ('max_age = "90 days"', 'max_age = "1 year"', "sla.max_age: 1 year instead of 90 days."),
    ('max_age = "90 days"', 'max_age = ""', "sla.max_age: no limit instead of 90 days."),
    ('window = "1 day"', 'window = "2 days"', "monitor.window: 2 days instead of 1 day."),
    (
        'window = "1 day"',
        'window = "1 day"\nretrainings = "5 a week"',
        "monitor.retrainings: 5 a week instead of 2 a week.",
    ),
    (
        "false_alarms_per_year = 4 ",
        "false_alarms_per_year = 1 ",
        "monitor.false_alarms_per_year: 1 instead of 4, so alerts come later.",
    ),
    ('do = "hold"', 'do = "notice"', "actions.data_quality.do: notice instead of hold."),
    ('within = "4h"', 'within = "2 days"', "actions.data_quality.within: 2 days instead of 4h."),
    (
        '"1 day", default = "rollback"',
        '"1 day"',
        "actions.performance.default: nothing happens instead of rollback.",
    ),
    (
        "[model.flight-delay",
        "[model.other",
        "model 'flight-delay' has no terms any more: nothing is asked of it.",
    ),
]


@pytest.mark.parametrize(("old", "new", "sentence"), LOOSER, ids=[row[2][:50] for row in LOOSER])
def test_each_loosening_is_one_sentence_and_its_reverse_is_none(old, new, sentence):
    changed = WHOLE.replace(old, new)
    before, after = parse(WHOLE).contract, parse(changed).contract
    assert loosened(before, after, "flight-delay") == [sentence]
    two_sided = ("metric", "baseline", "calibration")
    if not any(word in new + old for word in (*two_sided, "accuracy")):
        assert loosened(after, before, "flight-delay") == []


def test_the_bias_gate_taken_away_and_the_risk_lowered():
    kept = "\n".join(row for row in WHOLE.split("\n") if not row.startswith("bias    ="))
    high = WHOLE.replace('"minimal" ', '"high" ')
    old, none, risky = (parse(text).contract for text in (WHOLE, kept, high))
    assert loosened(old, none, "flight-delay") == ["gates.bias: no longer judged."]
    assert loosened(none, old, "flight-delay") == []
    assert loosened(risky, old, "flight-delay") == ["risk: from high to minimal."]
    assert loosened(old, risky, "flight-delay") == []


def test_more_people_who_may_consent_and_another_business_owner_are_looser():
    line = "approvals = { production = 1 }"
    assert line in WHOLE
    named = WHOLE.replace(line, f'{line}\napprovers = ["ana", "ben"]\nbusiness_owner = "desk-lead"')
    more, other = named.replace('"ben"', '"ben", "eve"'), named.replace("desk-lead", "eve")
    old, open_, wider, moved = (parse(text).contract for text in (named, WHOLE, more, other))
    assert loosened(old, wider, "flight-delay") == ["approvers: eve may consent as well."]
    assert loosened(wider, old, "flight-delay") == loosened(open_, old, "flight-delay") == []
    assert loosened(old, moved, "flight-delay") == ["business_owner: eve instead of desk-lead."]
    assert loosened(old, open_, "flight-delay") == [
        "approvers: anybody may consent as well.",
        "business_owner: nobody instead of desk-lead.",
    ]


def test_the_same_contract_loosens_nothing():
    contract = parse(WHOLE).contract
    assert loosened(contract, contract, "flight-delay") == []
    assert loosened(contract, contract, "unknown") == []


@pytest.mark.parametrize(
    ("before", "after", "looser"),
    [
        ("1000 rows", "5000 rows", True),
        ("5000 rows", "1000 rows", False),
        ("1000 rows within 1 day", "1000 rows", True),
        ("1 day", "1000 rows", True),
        ("1000 rows", "1 day", True),
        ("1000 rows", "1,000 rows within 7 days", False),
    ],
)
def test_windows_that_need_more_or_are_cut_otherwise_loosen(before, after, looser):
    old, new = (
        parse(WHOLE.replace('window = "1 day"', f'window = "{window}"')).contract
        for window in (before, after)
    )
    said = [f"monitor.window: {after} instead of {before}."] if looser else []
    assert loosened(old, new, "flight-delay") == said


def test_retrainings_may_not_come_in_bursts_either():
    def with_rate(rate):
        return parse(
            WHOLE.replace('window = "1 day"', f'window = "1 day"\nretrainings = "{rate}"')
        ).contract

    old = with_rate("2 a week")
    assert loosened(old, with_rate("1 a week"), "flight-delay") == []
    assert loosened(old, with_rate("8 a month"), "flight-delay") == [
        "monitor.retrainings: 8 a month instead of 2 a week."
    ]
