"""Finding and erasing one person: whole commands, start-up included.

usage: python benchmarks/erasure.py [--quick]

The work: 3,000,000 rows in 16 Parquet files under version, a person in every file. `find` is timed
as a whole command, and beside it the start of a command that looks at nothing; `erase` is the
whole command with its proof. `--quick` takes a tenth of the rows. No peer finds people.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from bytecode import compile_ours

ROWS, FILES, PEOPLE, REPEATS = 3_000_000, 16, 200_000, 5
PERSON = "customer-00000007@example.org"
CONTRACT = """\
contract = 1
[project]
name = "shop"
[data.orders]
source = "orders"
owner = "shop"
why = "orders"
subject = "customer"
personal = { customer = "email" }
"""


def make_project(folder: Path, rows: int) -> None:
    """Write the data, a part a file with the person in each, and put it under version."""
    numbers = np.random.default_rng(1)
    (folder / "orders").mkdir()
    each = rows // FILES
    for part in range(FILES):
        who = numbers.integers(8, PEOPLE, each)
        who[part * 31] = 7
        table = pl.DataFrame({"customer": who, "amount": numbers.normal(50, 20, each).round(2)})
        name = pl.format("customer-{}@example.org", pl.col("customer").cast(str).str.zfill(8))
        table.with_columns(customer=name).write_parquet(folder / "orders" / f"{part:02}.parquet")
    command(folder, "init", ".")
    (folder / "thrive.toml").write_text(CONTRACT)
    command(folder, "data", "add", "--name", "orders")


def command(folder: Path, *words: str) -> tuple[float, float]:
    """Run a command to its end; return its seconds and its seconds of processor time.

    The disk is given first what others wrote: a command waits for its own writes alone.
    """
    os.sync()
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "thrive", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    problem = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words}: {problem.decode()[-2000:]}")
    return took, usage.ru_utime + usage.ru_stime


def measure(rows: int = ROWS) -> dict[str, tuple[float, float]]:
    """Return seconds, and those of processor time, by what was done: start, find and erase."""
    compile_ours()
    with tempfile.TemporaryDirectory(prefix="thrive-erasure-") as name:
        folder = Path(name)
        make_project(folder, rows)
        (folder / "who").write_text(PERSON)
        find = ("data", "find-subject", "--from-file", "who")
        erase = ("data", "erase", "--from-file", "who", "--reason", "asked", "--yes")
        return {
            "start": _median([command(folder, "data", "log", "orders") for _ in range(REPEATS)]),
            "find": _median([command(folder, *find) for _ in range(REPEATS)]),
            "erase": command(folder, *erase),
        }


def _median(runs: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(took for took, _ in runs), statistics.median(cpu for _, cpu in runs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="take a tenth of the rows")
    found = measure(ROWS // 10 if parser.parse_args().quick else ROWS)
    for name, (took, cpu) in found.items():
        print(f"{name:<8}{took:8.3f} s {cpu:8.3f} s of processor time")
    print(
        f"BAR erasure find3m_s={found['find'][0]:.3f} start_s={found['start'][0]:.3f} "
        f"erase16_s={found['erase'][0]:.3f}"
    )


if __name__ == "__main__":
    main()
