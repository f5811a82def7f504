from datetime import date
from pathlib import Path
from typing import Literal

import pytest

from thrive.domain.errors import UsageError
from thrive.training.parameters import parse_parameters


def train(
    start: str = "2013-01-01",
    rate: float = 0.1,
    deep: bool = False,
    columns: list[str] = ["a"],  # noqa: B006
    kind: Literal["fast", "slow"] = "fast",
    most: int | None = None,
    day: date = date(2013, 1, 1),
    folder: Path = Path(),
    max_depth=3,
):
    pass


def test_defaults_hold_where_nothing_is_given():
    values = parse_parameters(train, [])
    assert values["rate"] == 0.1
    assert values["columns"] == ["a"]
    assert values["max_depth"] == 3


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--rate", "0.05"], "rate", 0.05),
        (["--rate=0.05"], "rate", 0.05),
        (["rate=0.05"], "rate", 0.05),
        (["--start", "2013"], "start", "2013"),
        (["--deep"], "deep", True),
        (["deep=true"], "deep", True),
        (["--no-deep"], "deep", False),
        (["no_deep=true"], "deep", False),
        (["--deep", "false"], "deep", False),
        (["--columns", "x, y"], "columns", ["x", "y"]),
        (["--kind", "slow"], "kind", "slow"),
        (["--most", "4"], "most", 4),
        (["--day", "2014-02-03"], "day", date(2014, 2, 3)),
        (["--folder", "data/x"], "folder", Path("data/x")),
        (["--max-depth", "5"], "max_depth", 5),
        (["--max_depth=5"], "max_depth", 5),
        (["--rate", "-1.5"], "rate", -1.5),
    ],
)
def test_text_becomes_the_type_of_the_annotation(arguments, name, value):
    found = parse_parameters(train, arguments)[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rat", "1"], "did you mean --rate"),
        (["--whatever", "1"], "it has --start"),
        (["--rate", "fast"], "'fast' is not of type float"),
        (["--kind", "odd"], "'odd' is not"),
        (["--rate"], "has no value"),
        (["--rate", "1", "--rate=2"], "twice"),
        (["stray"], "no option"),
    ],
)
def test_a_wrong_option_is_explained(arguments, words):
    with pytest.raises(UsageError) as caught:
        parse_parameters(train, arguments)
    assert words in str(caught.value)


def test_a_parameter_without_a_default_is_asked_for():
    def needs(file: str):
        pass

    with pytest.raises(UsageError, match="add --file VALUE"):
        parse_parameters(needs, [])
    assert parse_parameters(needs, ["--file", "x"]) == {"file": "x"}
