"""The code of a project is what its files say now, however fast they were changed."""

import os
import sys
import time

import pytest

from thrive.engines.project_code import ProjectSource, import_file


def value_in(file):
    code = ProjectSource("changed", str(file)).get_code("changed")
    found: dict[str, int] = {}
    assert code is not None
    exec(code, found)
    return found["VALUE"]


@pytest.mark.parametrize(("age_s", "second"), [(-5, 2), (3600, 1)])
def test_byte_code_of_the_second_of_a_change_is_not_believed(tmp_path, monkeypatch, age_s, second):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file, changed = tmp_path / "changed.py", int(time.time()) - age_s
    found = []
    for text in ("VALUE = 1\n", "VALUE = 2\n"):
        file.write_text(text)
        os.utime(file, (changed, changed))
        found.append(value_in(file))
    assert found == [1, second]


def test_what_lies_beside_a_file_is_imported_as_it_is_now(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "asks.py").write_text("from answers_beside import VALUE\n")
    found = []
    for text in ("VALUE = 1\n", "VALUE = 2\n"):
        (tmp_path / "answers_beside.py").write_text(text)
        found.append(import_file(tmp_path / "asks.py", "asks_of_a_test").VALUE)
        del sys.modules["asks_of_a_test"], sys.modules["answers_beside"]
    assert found == [1, 2]
