"""Start-up is counted in modules, which no busy machine can blur."""

import subprocess
import sys

import pytest

HEAVY = {
    "alembic",
    "cyclopts",
    "duckdb",
    "numpy",
    "pandas",
    "polars",
    "rich",
    "sklearn",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}


def modules_after(program: str) -> set[str]:
    code = f"{program}\nimport sys; print('\\n'.join(['MODULES', *sys.modules]))"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(answer.stdout.partition("MODULES\n")[2].split())


def run(*words: str) -> str:
    return f"from thrive.cli.main import run; run({list(words)!r})"


@pytest.mark.parametrize(
    "program",
    [
        "import thrive",
        run("--version"),
        run("--help"),
        run("data", "--help"),
        run("data", "add", "--help"),
        run("--complete", "data", ""),
        run("--completion", "bash"),
        run("no-such-command"),
    ],
)
def test_nothing_heavy_is_imported(program: str):
    assert not HEAVY & {name.partition(".")[0] for name in modules_after(program)}


def test_version_imports_few_modules():
    assert len(modules_after(run("--version"))) < 60


def test_importing_thrive_imports_few_modules():
    assert len(modules_after("import thrive")) < 60


def test_a_command_imports_only_the_module_that_declares_it(tmp_path):
    found = modules_after(run("--home", str(tmp_path), "audit", "list"))
    assert "thrive.flows.auditing" in found
    assert not {"thrive.data.operations", "thrive.flows.doctor", "polars", "numpy"} & found


def test_a_workspace_imports_no_operation_before_it_is_called(tmp_path):
    run_in = f"from thrive.cli.main import run; run(['--home', {str(tmp_path)!r}, 'init'])"
    assert not {"asyncio", "ssl"} & modules_after(run_in)
    found = modules_after(f"{run_in}; import thrive; thrive.open({str(tmp_path)!r}).audit.list()")
    assert "thrive.flows.auditing" in found
    assert not {"thrive.data.operations", "polars", "numpy", "starlette"} & found


def test_a_model_server_starts_without_what_it_does_not_need():
    worker = modules_after("import thrive.serving.worker")
    assert not {"polars", "sqlalchemy", "sklearn", "starlette", "obstore"} & worker
    agent = modules_after("import thrive.serving.serve")
    assert not {"numpy", "polars", "sklearn", "sqlalchemy", "uvicorn"} & agent


def test_a_server_answers_probes_before_it_imports_what_else_it_offers():
    found = modules_after("import thrive.server.process")
    assert {"uvicorn", "sqlalchemy", "thrive.server.health"} <= found
    assert not {"numpy", "polars", "cyclopts", "jinja2", "thrive.server.rooms"} & found


def test_what_stands_in_for_installed_packages_hands_on_what_it_is_asked():
    found = modules_after(
        "from thrive.store.quick_imports import quick_imports\n"
        "with quick_imports():\n"
        "    import sqlalchemy.util.compat as held\n"
        "import sys; assert 'importlib.metadata' not in sys.modules\n"
        "assert 'hashlib' not in sys.modules\n"
        "assert held.md5_not_for_security().hexdigest().startswith('d41d8cd98f')\n"
        "assert held.importlib_metadata_get('console_scripts')\n"
        "with quick_imports():\n"
        "    from importlib.metadata import entry_points\n"
        "assert 'email' in sys.modules and entry_points is held.importlib_metadata.entry_points"
    )
    assert "importlib.metadata" in found


def test_what_stands_in_for_asyncio_hands_on_what_it_is_asked():
    found = modules_after(
        "from thrive.store.quick_imports import quick_imports\n"
        "with quick_imports():\n"
        "    import sqlalchemy.util.concurrency as held\n"
        "import gc, sys; assert 'asyncio' not in sys.modules and gc.isenabled()\n"
        "assert not held.iscoroutine(3)\n"
        "import asyncio; assert held.asyncio.CancelledError is asyncio.CancelledError\n"
        "with quick_imports():\n"
        "    assert sys.modules['asyncio'] is asyncio"
    )
    assert "asyncio.events" in found


def test_annotated_expressions_are_what_they_are_without_sparing():
    """Each kind gets its class when it is needed, from the same bases and with the same SQL."""
    program = """
import sqlalchemy as sa
from sqlalchemy.sql.annotation import annotated_classes
t = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer), sa.Column("b", sa.JSON))
known = len(annotated_classes)
for each in (
    t.c.a, t.c.a.label("x"), sa.func.count(), sa.case((t.c.a > 1, 2), else_=3), t.c.b["k"],
    sa.select(t).subquery("s"), t.alias("u"), t, sa.cast(t.c.a, sa.String), sa.and_(t.c.a > 1),
    sa.select(t.c.a).scalar_subquery(), sa.func.row_number().over(order_by=t.c.a),
):
    one = each._annotate({"n": 1})
    bases = [kind.__name__ for kind in (type(each), type(one))]
    print("SEEN", *bases, str(one).split(), one._generate_cache_key() is not None, sep="|")
"""
    seen: list[list[str]] = []
    for how in (
        "",
        "from thrive.store.quick_imports import quick_imports\nwith quick_imports():\n    import sqlalchemy",
    ):
        command = [sys.executable, "-c", f"{how}\n{program}print('KNOWN', known)"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seen.append(said.splitlines())
    assert seen[0][:-1] == seen[1][:-1]
    assert len(seen[0]) == 13
    assert int(seen[1][-1].split()[1]) < 10 < int(seen[0][-1].split()[1])
