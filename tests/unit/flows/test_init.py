"""Where `thrive init` begins a project: here, unless this git work tree has one."""

import pytest

from thrive.domain.errors import Conflict
from thrive.flows.project import init
from thrive.flows.workspace import local_context


def test_a_project_further_up_is_no_hindrance_but_that_of_the_same_work_tree_is(tmp_path) -> None:
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    (tmp_path / ".thrive").mkdir()
    inner = tmp_path / "work" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    with pytest.raises(Conflict) as caught:
        init(local_context(inner))
    assert caught.value.hint.endswith(f"thrive init {inner}")
    assert not (inner / "thrive.toml").exists()
    (inner.parent / ".git").mkdir()  # a repository of its own
    assert init(local_context(inner)).folder == str(inner)
    with pytest.raises(Conflict, match="inner is a project already"):
        init(local_context(inner))
    assert init(local_context(inner), tmp_path / "named").folder == str(tmp_path / "named")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("churned", ""),
        ("churn", "data/customers.csv has no column 'churn'; did you mean 'churned'?"),
        ("value", "data/customers.csv has no column 'value', unless your pipeline makes it"),
    ],
)
def test_a_target_that_is_no_column_of_the_data_is_doubted(tmp_path, target, said) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/customers.csv").write_text('id;"plan";churned\n1;basic;no\n')
    assert init(local_context(tmp_path), target=target).note == said


def test_several_data_files_are_named_and_none_is_chosen(tmp_path) -> None:
    for name in ("may.csv", "june.tsv"):
        (tmp_path / name).write_text("id\n1\n")
    note = init(local_context(tmp_path)).note
    assert note == (
        "2 data files are here (may.csv, june.tsv): write which in thrive.toml, a glob for all"
    )
    assert 'source = ""' in (tmp_path / "thrive.toml").read_text()
