"""The table of faults names tests that are there, and every test that bears a fault's number."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/explanation/faults.md"
ROW = re.compile(r"^\| (\d+) \|.*\| (.*) \|$", re.MULTILINE)
CITED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
FAULTS = range(1, 27)
NUMBERED = re.compile(r"test_(\d\d)_")


def table() -> dict[int, set[tuple[str, str]]]:
    """Return the file and the name of each test that is cited, by the number of its fault."""
    rows = ROW.findall(PAGE.read_text())
    assert [int(number) for number, _ in rows] == list(FAULTS)
    return {int(number): set(CITED.findall(cell)) for number, cell in rows}


def functions(path: Path) -> set[str]:
    """Return the names of the tests of a file."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    named = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds)}
    return {name for name in named if name.startswith("test_")}


def test_each_fault_has_tests_and_all_of_them_are_there():
    for number, cited in table().items():
        assert cited, f"fault {number} has no test"
        for file, name in cited:
            assert name in functions(ROOT / file), f"{file} has no {name}"


def test_each_test_that_bears_a_number_is_cited_for_it():
    cited = table()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = str(path.relative_to(ROOT))
        for name in functions(path):
            numbered = NUMBERED.match(name)
            if numbered and int(numbered[1]) in FAULTS:
                assert (file, name) in cited[int(numbered[1])], f"{file}::{name}"
