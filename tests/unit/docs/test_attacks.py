"""The table of attacks names tests that are there, and every test that bears a case is cited."""

import re

from tests.unit.docs.test_faults import CITED, ROOT, ROW, functions

PAGE = ROOT / "docs/explanation/attacks.md"
CASES = range(1, 83)
NUMBERED = re.compile(r"test_cases?_(\d+)(?:_(to|and)_(\d+))?_")


def table() -> dict[int, set[tuple[str, str]]]:
    """Return the file and the name of each test that is cited, by the number of its case."""
    rows = ROW.findall(PAGE.read_text())
    assert [int(number) for number, _ in rows] == list(CASES)
    return {int(number): set(CITED.findall(cell)) for number, cell in rows}


def test_each_case_has_tests_and_all_of_them_are_there():
    for number, cited in table().items():
        assert cited, f"case {number} has no test"
        for file, name in cited:
            assert name in functions(ROOT / file), f"{file} has no {name}"


def test_each_test_that_bears_a_case_is_cited_for_it():
    cited = table()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = str(path.relative_to(ROOT))
        for name in functions(path):
            found = NUMBERED.match(name)
            if found:
                assert (file, name) in cited[int(found[1])], f"{file}::{name}"
