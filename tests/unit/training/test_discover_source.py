"""The code of a project is what its files say now, however fast they were changed."""

import os
import sys
import time

import pytest

from thrive.training.discover import ProjectSource


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
