"""What a step follows from: each edit that could change its result changes its code's digest."""

import importlib
import sys

import pytest

from thrive.training.closure import closure_of

SCALE = "def scale(x):\n    return x * 10\n"
ROOT = "def root(x):\n    return scale(x)\n"
WRAPPER = """\
import functools
def doubled(f):
    @functools.wraps(f)
    def g(*a):
        return 2 * f(*a)
    return g
"""

CHANGES = {
    "a constant of a helper": (
        {"helpers": "RATE = 10\ndef scale(x):\n    return x * RATE\n"},
        "from helpers import scale\n" + ROOT,
        ("helpers", "RATE = 10", "RATE = 20"),
    ),
    "a cached helper": (
        {"helpers": "import functools\n@functools.lru_cache\n" + SCALE},
        "from helpers import scale\n" + ROOT,
        ("helpers", "x * 10", "x * 20"),
    ),
    "a context manager": (
        {
            "helpers": "import contextlib\n@contextlib.contextmanager\ndef scale(x):\n"
            "    yield x * 10\n"
        },
        "import helpers\ndef root(x):\n    with helpers.scale(x) as y:\n        return y\n",
        ("helpers", "x * 10", "x * 20"),
    ),
    "a branch of a generic function": (
        {
            "helpers": "import functools\n@functools.singledispatch\ndef scale(x):\n    return x\n"
            "@scale.register\ndef _(x: int):\n    return x * 10\n"
        },
        "from helpers import scale\n" + ROOT,
        ("helpers", "x * 10", "x * 20"),
    ),
    "a decorator of the project": (
        {"helpers": WRAPPER},
        "from helpers import doubled\n@doubled\ndef root(x):\n    return x\n",
        ("helpers", "2 * f", "3 * f"),
    ),
    "what a decorator of the project wraps": (
        {"helpers": WRAPPER + "@doubled\n" + SCALE},
        "from helpers import scale as times\ndef root(x):\n    return times(x)\n",
        ("helpers", "x * 10", "x * 20"),
    ),
    "an attribute that a class is given later": (
        {"helpers": "class Terms:\n    rate = 1\nTerms.rate = 10\n"},
        "from helpers import Terms\ndef root(x):\n    return x * Terms.rate\n",
        ("helpers", "Terms.rate = 10", "Terms.rate = 20"),
    ),
    "a method that a class is given later": (
        {"helpers": "class Scale:\n    pass\n" + SCALE + "Scale.times = staticmethod(scale)\n"},
        "from helpers import Scale\ndef root(x):\n    return Scale.times(x)\n",
        ("helpers", "x * 10", "x * 20"),
    ),
    "an attribute of a class made by a function": (
        {
            "helpers": "def made(by):\n    class Terms:\n        rate = by\n    return Terms\n"
            "Terms = made(10)\n"
        },
        "from helpers import Terms\ndef root(x):\n    return x * Terms.rate\n",
        ("helpers", "made(10)", "made(20)"),
    ),
    "a base class": (
        {"helpers": "class Base:\n    rate = 10\nclass Terms(Base):\n    pass\n"},
        "from helpers import Terms\ndef root(x):\n    return x * Terms().rate\n",
        ("helpers", "rate = 10", "rate = 20"),
    ),
    "an attribute of a function": (
        {"helpers": "def scale(x):\n    return x * scale.rate\nscale.rate = 10\n"},
        "from helpers import scale\n" + ROOT,
        ("helpers", "scale.rate = 10", "scale.rate = 20"),
    ),
    "a default argument": (
        {"helpers": "RATE = 10\ndef scale(x, by=RATE):\n    return x * by\n"},
        "from helpers import scale\n" + ROOT,
        ("helpers", "RATE = 10", "RATE = 20"),
    ),
    "an object of the project": (
        {
            "helpers": "class Scale:\n    def __init__(self, by):\n        self.by = by\n"
            "    def __call__(self, x):\n        return x * self.by\nscale = Scale(10)\n"
        },
        "from helpers import scale\n" + ROOT,
        ("helpers", "Scale(10)", "Scale(20)"),
    ),
    "a method of a table": (
        {"helpers": "rate_of = {'a': 10}.get\n"},
        "from helpers import rate_of\ndef root(x):\n    return x * rate_of('a')\n",
        ("helpers", "'a': 10", "'a': 20"),
    ),
    "a function in a table": (
        {"helpers": SCALE + "KINDS = {'scale': scale}\n"},
        "from helpers import KINDS\ndef root(x):\n    return KINDS['scale'](x)\n",
        ("helpers", "x * 10", "x * 20"),
    ),
    "a cached function in a table": (
        {
            "helpers": "import functools\n@functools.cache\n" + SCALE,
            "kinds": "from helpers import scale\nKINDS = {'scale': scale}\n",
        },
        "from kinds import KINDS\ndef root(x):\n    return KINDS['scale'](x)\n",
        ("helpers", "x * 10", "x * 20"),
    ),
    "a step in a table": (
        {"helpers": "from thrive import step\n@step\n" + SCALE + "KINDS = [scale]\n"},
        "from helpers import KINDS\ndef root(x):\n    return KINDS[0](x)\n",
        ("helpers", "x * 10", "x * 20"),
    ),
    "a partial": (
        {
            "helpers": "from functools import partial\ndef times(by, x):\n    return x * by\n"
            "scale = partial(times, 10)\n"
        },
        "from helpers import scale\n" + ROOT,
        ("helpers", "times, 10", "times, 20"),
    ),
    "a module in a closure": (
        {"helpers": SCALE},
        (
            "import helpers\ndef made(by):\n    def root(x):\n        return by.scale(x)\n"
            "    return root\nroot = made(helpers)\n"
        ),
        ("helpers", "x * 10", "x * 20"),
    ),
    "a value that a module takes from its surroundings": (
        {"helpers": "RATE = int(open(__file__[:-2] + 'txt').read())\n"},
        "import helpers\ndef root(x):\n    return x * getattr(helpers, 'RATE')\n",
        ("helpers.txt", "10", "20"),
    ),
    "a module inside a package that is used as a whole": (
        {"kinds/__init__": "from .scales import scale\n", "kinds/scales": SCALE},
        "import kinds\ndef root(x):\n    return getattr(kinds, 'scale')(x)\n",
        ("kinds/scales", "x * 10", "x * 20"),
    ),
    "a package that is imported by the step": (
        {"kinds/__init__": "from .scales import scale\n", "kinds/scales": SCALE},
        "def root(x):\n    import kinds\n    return kinds.scale(x)\n",
        ("kinds/scales", "x * 10", "x * 20"),
    ),
    "a module that something else has put into a package": (
        {"kinds/__init__": "", "kinds/scales": SCALE},
        "import kinds, kinds.scales\ndef root(x):\n    return getattr(kinds, 'scales').scale(x)\n",
        ("kinds/scales", "x * 10", "x * 20"),
    ),
    "the import that did not fail": (
        {
            "slow": SCALE,
            "helpers": "try:\n    import fast as kind\nexcept ImportError:\n"
            "    import slow as kind\n",
        },
        "from helpers import kind\ndef root(x):\n    return kind.scale(x)\n",
        ("slow", "x * 10", "x * 20"),
    ),
    "a function that is chosen by name": (
        {},
        SCALE + "def root(x):\n    return globals()['sca' + 'le'](x)\n",
        ("pipe", "x * 10", "x * 20"),
    ),
    "a function inside a text": (
        {},
        SCALE + "def root(x):\n    return eval('scale(x)', globals(), {'x': x})\n",
        ("pipe", "x * 10", "x * 20"),
    ),
    "a function made of a text": (
        {"helpers": "exec('def scale(x):\\n    return x * 10')\n"},
        "from helpers import scale\n" + ROOT,
        ("helpers", "x * 10", "x * 20"),
    ),
    "a module that is imported by its name": (
        {"helpers": SCALE},
        (
            "import importlib\ndef root(x):\n"
            "    return importlib.import_module('helpers').scale(x)\n"
        ),
        ("helpers", "x * 10", "x * 20"),
    ),
    "a star": (
        {"helpers": SCALE},
        "from helpers import *\n" + ROOT,
        ("helpers", "x * 10", "x * 20"),
    ),
    "the name of a dataset that a result becomes": (
        {
            "helpers": "import polars as pl\nfrom typing import Annotated\nfrom thrive import Out\n"
            "Clean = Out[Annotated[pl.DataFrame, 'data:clean']]\n"
        },
        (
            "from thrive import step\nfrom helpers import Clean\n@step\ndef root(x) -> Clean:\n"
            "    return x\n"
        ),
        ("helpers", "data:clean", "data:tidy"),
    ),
}

THE_SAME = {
    "words": (SCALE + ROOT, ("x * 10", "x * 10  # ten times")),
    "a docstring": (SCALE + ROOT, ("def root(x):", 'def root(x):\n    """Scale."""')),
    "what it does not reach": (SCALE + "OTHER = 1\n" + ROOT, ("OTHER = 1", "OTHER = 2")),
    "the options of a step": (
        "from thrive import step\n" + SCALE + "@step\n" + ROOT,
        ("@step", "@step(retries=2)"),
    ),
}

REFUSED = {
    "import importlib\ndef root(x):\n    return importlib.import_module(x).scale(x)\n": "name",
    "def root(x):\n    return __import__(x).scale(x)\n": "name",
    "import sys\ndef root(x):\n    return sys.modules[x].scale(x)\n": "name",
    "import uuid\ndef root(x):\n    return uuid.uuid4()\n": "seed",
    "import datetime\ndef root(x):\n    return datetime.datetime.now()\n": "clock",
}


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Return what a step of files stands on, read in a folder of its own."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def read(place, files):
        folder = tmp_path / place
        for name, text in files.items():
            file = folder / (name if name.endswith(".txt") else f"{name}.py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        before = set(sys.modules)
        importlib.invalidate_caches()
        with monkeypatch.context() as patched:
            patched.syspath_prepend(folder)
            try:
                return closure_of(importlib.import_module("pipe").root)
            finally:
                for name in set(sys.modules) - before:
                    if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                        del sys.modules[name]

    return read


@pytest.mark.parametrize("case", CHANGES)
def test_each_change_that_matters_makes_another_digest(imported, case):
    helpers, pipe, (where, old, new) = CHANGES[case]
    files = {**helpers, "pipe": pipe}
    if where.endswith(".txt"):
        files[where] = old
    changed = {**files, where: files[where].replace(old, new)}
    assert changed != files
    first, again, other = (
        imported(place, each) for place, each in (("1", files), ("2", files), ("3", changed))
    )
    assert not first.problem
    assert first.digest == again.digest
    assert other.digest != first.digest, first.parts


@pytest.mark.parametrize("case", THE_SAME)
def test_a_change_that_does_not_matter_makes_none(imported, case):
    pipe, (old, new) = THE_SAME[case]
    changed = pipe.replace(old, new)
    assert changed != pipe
    assert imported("1", {"pipe": pipe}).digest == imported("2", {"pipe": changed}).digest


@pytest.mark.parametrize("pipe", REFUSED)
def test_what_cannot_be_followed_is_said(imported, pipe):
    assert REFUSED[pipe] in imported("1", {"pipe": pipe}).problem
