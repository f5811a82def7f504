"""What alerts found, as flat facts and tables: in the words of people, with nothing nested."""

from thrive.ui.evidence import blocks_of

START = 1_371_168_000_000_000
PERFORMANCE = {
    "numbers": {
        "signal": "estimated accuracy",
        "value": 0.6253,
        "limit": 0.6712,
        "explained": 0.36,
        "coverage": 0.5819,
        "windows": [{"start": START, "value": 0.6253, "limit": 0.6712}],
        "performance": {
            "estimated accuracy": {"value": 0.6253, "error": 0.0214, "rows": 511},
            "realised accuracy": {"value": 0.7892, "error": None, "rows": 332},
        },
    },
    "drift": [],
    "moved_in": {"origin=EWR": ["recent_delay", "temp"]},
    "upstream": {"dataset": "weather", "version": 1, "made_at": START},
}


def test_performance_is_facts_and_tables_of_texts() -> None:
    alone, windows, signals, moved, source = blocks_of(PERFORMANCE)
    assert alone.title == ""
    assert dict(alone.facts) == {
        "Signal": "estimated accuracy",
        "Found": "0.6253",
        "Limit": "0.6712",
        "Explained by harder rows": "36.0 %",
        "Outcomes known": "58.2 %",
    }
    assert windows.head == ["Window", "Found", "Limit"]
    assert windows.rows == [["2013-06-14", "0.6253", "0.6712"]]
    assert windows.numeric == [False, True, True]
    assert signals.head == ["", "Found", "Give or take", "Rows"]
    assert signals.rows[1] == ["realised accuracy", "0.7892", "-", "332"]
    assert moved.rows == [["origin=EWR", "recent_delay, temp"]]
    assert source.facts[-1] == ("Made at", "2013-06-14 00:00:00 UTC")


def test_nothing_nested_is_left_and_what_is_empty_is_not_shown() -> None:
    nested = {
        "numbers": {"gaps": [{"group": "UA", "shares": {"low": 0.1, "high": 0.2}}]},
        "a": None,
    }
    (table,) = blocks_of(nested)
    assert table.head == ["Group", "Shares of the answers"]
    assert table.rows == [["UA", "low 0.1, high 0.2"]]
    assert blocks_of({}) == []


def test_names_of_the_data_stay_as_they_are() -> None:
    (drifted,) = blocks_of({"numbers": {"windows_drifted": {"temp": 2}}})
    assert drifted.facts == [("temp", "2")]
