import pickle

import pytest

import thrive
from thrive.domain.errors import UsageError
from thrive.tracking.entry import find_file
from thrive.training.digests import step_seed
from thrive.training.discover import load_pipeline


@thrive.step
def double(x: int) -> int:
    """Double it."""
    return 2 * x


@thrive.step(timeout="10m", isolation="inline")
def half(x: float) -> float:
    return x / 2


@thrive.pipeline
def both(x: int = 3) -> float:
    return half(double(x))


def test_outside_a_run_everything_is_a_plain_call():
    assert both(5) == 5.0
    assert double(4) == 8
    assert double.__name__ == "double"
    assert double.__doc__ == "Double it."


def test_a_step_knows_its_limits():
    assert half.options.timeout == 600.0
    assert double.options.timeout is None
    with pytest.raises(UsageError, match="no isolation"):
        thrive.step(isolation="cloud")
    with pytest.raises(UsageError, match="not a duration"):
        thrive.step(timeout="soon")


@pytest.mark.parametrize(
    "call",
    [lambda: thrive.log(x=1), lambda: thrive.register(None, "m", evaluation=None)],
)
def test_reporting_outside_a_run_says_how_to_start_one(call):
    with pytest.raises(UsageError, match="thrive run FILE"):
        call()


def test_seeds_differ_by_step_and_repeat():
    seeds = [step_seed(0, "fit", 0), step_seed(0, "fit", 1), step_seed(1, "fit", 0)]
    assert len(set(seeds)) == 3
    assert seeds[0] == step_seed(0, "fit", 0) == 3958056125
    assert all(0 <= seed < 2**32 for seed in seeds)


HEAD = "from thrive import pipeline, step\n"
ONE = "@pipeline\ndef one():\n    return 1\n"
TWO = "@pipeline\ndef two():\n    return 2\n"


def test_a_file_with_one_pipeline_needs_no_name(tmp_path):
    (tmp_path / "alone_in_file.py").write_text(HEAD + ONE)
    assert load_pipeline(tmp_path / "alone_in_file.py")() == 1


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (HEAD + ONE + TWO, "", "declares 2 pipelines"),
        (HEAD + ONE + TWO, "three", "has no pipeline 'three'"),
        (HEAD, "", "declares no pipeline"),
    ],
)
def test_which_pipeline_must_be_clear(tmp_path, text, name, words):
    (tmp_path / "unclear_file.py").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_pipeline(tmp_path / "unclear_file.py", name)


def test_a_named_pipeline_is_found_and_imported_ones_do_not_count(tmp_path):
    (tmp_path / "lending_file.py").write_text(HEAD + ONE)
    (tmp_path / "borrowing_file.py").write_text(HEAD + "from lending_file import one\n" + TWO)
    assert load_pipeline(tmp_path / "borrowing_file.py")() == 2
    (tmp_path / "both_file.py").write_text(HEAD + ONE + TWO)
    assert load_pipeline(tmp_path / "both_file.py", "two")() == 2


def test_a_file_named_like_a_library_does_not_replace_it(tmp_path):
    import random

    (tmp_path / "random.py").write_text(HEAD + ONE)
    assert load_pipeline(tmp_path / "random.py")() == 1
    assert random.__file__ != str(tmp_path / "random.py")


def test_files_are_found_with_help(tmp_path):
    (tmp_path / "train.py").write_text("")
    assert find_file("train:one", tmp_path) == tmp_path / "train.py"
    with pytest.raises(thrive.ThriveError, match=r"did you mean train\.py"):
        find_file("trian.py", tmp_path)


def test_steps_pickle_by_name():
    assert pickle.dumps(double)
