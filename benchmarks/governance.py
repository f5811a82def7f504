"""How fast governance answers: the audit chain verified, a technical file rendered, a person found.

usage: python benchmarks/governance.py [--links 1000000] [--runs 100] [--versions 100]
           [--rows 1000000] [--people FOLDER]

A person is searched in versions of which each has other rows, two columns of Parquet, 200,000
people; the search is the whole operation, the median of five after the versions were added. With
--people the versions are kept in that folder: made by the first call, searched by each. No peer
keeps an audit chain, renders a file or finds people, so the bars are the times that were
promised.
"""

import argparse
import tempfile
import time
from pathlib import Path

from bytecode import compile_ours

from thrive.domain.actor import local_actor
from thrive.domain.run import Run, RunState
from thrive.governance.document import DocumentKind, make_document
from thrive.governance.keeping import rendered
from thrive.governance.records import read_records
from thrive.operations import Context
from thrive.packaging.formats.constant import Constant
from thrive.packaging.package import pack
from thrive.store import audit, models, projects, runs
from thrive.store.home import Home, create_home

TOGETHER = 20_000
CONTRACT = """
[model.delay]
purpose = "delay-warning: tell the operations desk which departures will be late, two hours ahead."
owner = "desk"
risk = "high"
target = { column = "late", positive = true }
"""
PEOPLE = """
contract = 1
[project]
name = "shop"
[data.orders]
source = "orders.parquet"
owner = "shop"
why = "orders"
subject = "customer"
personal = { customer = "email", amount = "none" }
"""


def main() -> None:
    compile_ours()
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--links", type=int, default=1_000_000)
    words.add_argument("--runs", type=int, default=100)
    words.add_argument("--versions", type=int, default=100)
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--people", type=Path)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = create_home(Path(folder), "bench")
        context = Context(home, local_actor("bench"), folder=Path(folder), operation="bench")
        file_s = technical_file(context, given.runs)
        fill(home, given.links)
        began = time.perf_counter()
        with home.read() as tx:
            assert audit.first_broken(tx, home.project_id) is None
            links = audit.read_head(tx, home.project_id)[0]
        verify_s = time.perf_counter() - began
        home.close()
    search_s, found = subject_search(given.versions, given.rows, given.people)
    print(f"audit verify of {links:,} links: {verify_s:.2f} s")
    print(f"technical file of a model with {given.runs} runs: {file_s:.3f} s")
    print(f"a person in {given.versions} versions of {given.rows:,} rows: {search_s:.3f} s")
    print(
        f"BAR governance audit_verify_1m_s={verify_s:.2f} technical_file_s={file_s:.3f} "
        f"subject_search_ms={search_s * 1000:.0f} links={links} runs={given.runs} "
        f"versions={given.versions} rows={given.rows} found={found}"
    )


def fill(home: Home, links: int) -> None:
    """Append links as operations do, many in one transaction."""
    for first in range(0, links, TOGETHER):
        with home.write() as tx:
            for number in range(first, min(first + TOGETHER, links)):
                audit.append(
                    tx,
                    home.project_id,
                    actor="flights-ml",
                    operation="releases start",
                    subject=f"model:flight-delay@{number % 97}",
                    detail={"reason": "the gate passed", "revision": number, "share": 0.5},
                )


def technical_file(context: Context, count: int) -> float:
    """Return the seconds from a question to three forms, of a model with many runs beside it."""
    from thrive.contract.parse import parse
    from thrive.domain.model import Model, ModelVersion
    from thrive.domain.project import StoredContract

    home, project = context.home, context.project_id
    package = pack(Constant(value=0.2), _sample(), positive=True, created=1)
    files = [home.blobs.put(data) for data in package.files.values()]
    digest = home.blobs.put(package.manifest.to_bytes())
    parsed = parse(CONTRACT)
    with home.write() as tx:
        projects.store_contract(
            tx,
            project,
            StoredContract(digest=parsed.digest, text=CONTRACT, commit="c", stored_at=1),
        )
        models.save(tx, project, Model(name="delay", owner="desk", purpose="p", created_at=1))
        for number in range(count):
            run = Run(
                run_id=f"{number:032x}",
                experiment="delay",
                name=f"try {number}",
                state=RunState.DONE,
                actor="bench",
                started_at=number,
                ended_at=number + 10_000_000,
                params={f"p{each}": each for each in range(20)},
                metrics={f"m{each}": each / number if number else 0.0 for each in range(20)},
                environment={"python": "3.11", "libraries": [f"l{i}==1" for i in range(200)]},
            )
            runs.save(tx, project, run)
        version = ModelVersion(
            model="delay",
            version=1,
            package=digest,
            signature={},
            metrics={"roc_auc": 0.7},
            run_id=f"{count - 1:032x}",
            contract=parsed.digest,
            commit="c",
            dirty=False,
            created_at=1,
            actor="bench",
        )
        models.insert_version(tx, project, version, files)
    began = time.perf_counter()
    file = make_document(read_records(context, "delay@1"), DocumentKind.TECHNICAL_FILE)
    forms = rendered(file)
    spent = time.perf_counter() - began
    assert forms["html"].count(b"run:") > count
    return spent


def subject_search(versions: int, rows: int, kept: Path | None = None) -> tuple[float, int]:
    """Return the median seconds of a search for one person, and their rows; as the reader counts.

    The rows are counted while they are written, so the answer is compared with another count.
    """
    import statistics

    from thrive.flows.erasure.finding import find_subject
    from thrive.store.home import open_home

    with tempfile.TemporaryDirectory() as name:
        folder = kept or Path(name)
        counted = folder / f"rows-{versions}-{rows}"
        if not counted.exists():
            counted.write_text(str(with_people(folder, versions, rows)))
        expected = int(counted.read_text())
        home = open_home(folder)
        context = Context(home, local_actor("bench"), folder=folder, operation="data find-subject")
        took: list[float] = []
        for _ in range(5):
            began = time.perf_counter()
            found = find_subject(context, "customer-00000007@example.org")
            took.append(time.perf_counter() - began)
            assert found.rows == expected, (found.rows, expected)
        home.close()
    return statistics.median(took), expected


def with_people(folder: Path, versions: int, rows: int) -> int:
    """Make a project in a folder, with versions of rows of people; return the rows of one."""
    import numpy as np
    import polars as pl

    from thrive.data.operations import add

    numbers = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    home = create_home(folder, "bench")
    context = Context(home, local_actor("bench"), folder=folder, operation="data add")
    (folder / "thrive.toml").write_text(PEOPLE)
    expected = 0
    for _ in range(versions):
        who = numbers.integers(0, 200_000, rows)
        expected += int((who == 7).sum())
        table = pl.DataFrame({"who": who, "amount": numbers.normal(50, 20, rows).round(2)})
        spelled = pl.format("customer-{}@example.org", pl.col("who").cast(str).str.zfill(8))
        table.select(customer=spelled, amount="amount").write_parquet(folder / "orders.parquet")
        add(context, name="orders")
    home.close()
    return expected


def _sample() -> object:
    import polars as pl

    return pl.DataFrame({"origin": ["EWR", "JFK", "LGA"], "wind": [1.0, None, 3.5]})


if __name__ == "__main__":
    main()
