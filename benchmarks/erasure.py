"""Finding and erasing one person: whole commands, start-up included.

usage: python benchmarks/erasure.py [--quick]

The work: 3,000,000 rows in 16 Parquet files under version, a person in every file. `find` is timed
as a whole command, and beside it the start of a command that looks at nothing; `erase` is the
whole command with its proof. `--quick` takes a tenth of the rows. No peer finds people.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

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


def command(folder: Path, *words: str) -> float:
    """Run a command to its end; return seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "thrive", *words], cwd=folder, capture_output=True, check=False
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr.decode()[-2000:]}")
    return took


def measure(rows: int = ROWS) -> dict[str, float]:
    """Return seconds by what was done: `start`, `find` and `erase`."""
    with tempfile.TemporaryDirectory(prefix="thrive-erasure-") as name:
        folder = Path(name)
        make_project(folder, rows)
        (folder / "who").write_text(PERSON)
        find = ("data", "find-subject", "--from-file", "who")
        start = [command(folder, "data", "log", "orders") for _ in range(REPEATS)]
        found = [command(folder, *find) for _ in range(REPEATS)]
        erase = ("data", "erase", "--from-file", "who", "--reason", "asked", "--yes")
        return {
            "start": statistics.median(start),
            "find": statistics.median(found),
            "erase": command(folder, *erase),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="take a tenth of the rows")
    seconds = measure(ROWS // 10 if parser.parse_args().quick else ROWS)
    for name, took in seconds.items():
        print(f"{name:<8}{took:8.3f} s")
    print(
        f"BAR erasure find3m_s={seconds['find']:.3f} start_s={seconds['start']:.3f} "
        f"erase16_s={seconds['erase']:.3f}"
    )


if __name__ == "__main__":
    main()
