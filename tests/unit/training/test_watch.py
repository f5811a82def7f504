"""What a step reads and does not declare is seen, also where it reads by a detour."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

from thrive.training.watch import Watch, watching

READS = "from pathlib import Path\nTEXT = Path({file!r}).read_text()\n"


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """Return what is seen of a deed in a folder with a file `x.txt`."""
    (tmp_path / "x.txt").write_text("1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def watch_it(deed, *files):
        importlib.invalidate_caches()
        watch = Watch((), files)
        with watching(watch):
            deed()
        return watch.found

    yield watch_it
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_what_a_module_reads_while_a_step_imports_it_is_seen(seen, tmp_path):
    (tmp_path / "late_reader.py").write_text(READS.format(file="x.txt"))
    found = seen(lambda: importlib.import_module("late_reader"), "late_reader.py")
    assert found == ["file x.txt"]


def test_project_code_that_the_key_does_not_follow_is_seen(seen, tmp_path):
    (tmp_path / "late_known.py").write_text("")
    (tmp_path / "late_unknown.py").write_text("")
    names = ("late_known", "late_unknown")
    found = seen(lambda: [importlib.import_module(name) for name in names], "late_known.py")
    assert found == ["file late_unknown.py"]


def test_a_file_named_like_a_part_of_python_hides_nothing(seen, tmp_path):
    (tmp_path / "my_tokenize.py").write_text("def read():\n    return open('x.txt').read()\n")
    read = importlib.import_module("my_tokenize").read
    assert seen(read) == ["file x.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="forks tell what they saw on Linux alone")
def test_what_a_fork_reads_is_seen(seen):
    def in_a_fork():
        pid = os.fork()
        if pid == 0:
            try:
                os.close(os.open("x.txt", os.O_RDONLY))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    assert seen(in_a_fork) == ["file x.txt"]


def test_a_generator_without_a_seed_is_seen(seen):
    assert seen(lambda: np.random.default_rng(3).random()) == []
    assert seen(lambda: np.random.default_rng().random()) == ["chance numpy.random.default_rng()"]


LATE = """\
import sys
from thrive.training.seeds import sow
assert "numpy" not in sys.modules
sow(7)
import numpy, random, torch
late = numpy.random.rand()
assert torch.seeds == [7]
assert numpy.random.__spec__.loader.__class__.__module__.endswith("importlib_external")
sow(7)
assert numpy.random.rand() == late
assert torch.seeds == [7, 7]
"""


def test_a_library_that_a_step_imports_is_seeded_then(tmp_path):
    (tmp_path / "torch.py").write_text("seeds = []\nmanual_seed = seeds.append\n")
    subprocess.run([sys.executable, "-c", LATE], cwd=tmp_path, check=True)
