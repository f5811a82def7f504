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
