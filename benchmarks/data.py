"""Versioned data against DVC (and `git status`): whole commands, start-up included, in one run.

usage: python benchmarks/data.py [--quick]

The work: 100,000 files of 1 KB and 10,000 of 10 KB, each added, looked at unchanged, changed in one
file and added again, checked out after a loss; a file of 1 GB added; a CSV of 1 GB that grows by
5%; two tables of 1M rows x 20 compared by key, one of 1M x 30 profiled; one person found among 3M
rows and erased from 16 files (erasure.py). Both sides work on a copy of the same files. Before each
command the disk is given what others wrote (sync): ours waits for the disk, DVC does not and must
not pay for what DVC left to be written. What can be done again is done three times, and the
shortest counts, on both sides. `--quick` takes a tenth of everything. DVC lives in an
environment of its own in ~/.cache/thrive-bench, with the pins below.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import erasure
import numpy as np
import polars as pl
from bytecode import compile_ours

PINS = ("dvc==3.67.1",)
PEER = Path.home() / ".cache" / "thrive-bench" / "dvc"
QUIET = os.environ | {
    "DVC_NO_ANALYTICS": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "NO_COLOR": "1",
}
SETTLED_S = 3
"""A pause after writing files, so that no tool must doubt their times."""


class Bench:
    """Runs commands and remembers the largest process of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peak_mb = 0.0
        self.dvc = str(PEER / "bin" / "dvc")

    def run(self, where: Path, *words: str) -> tuple[float, float]:
        """Run a command to its end; return seconds and megabytes at its peak."""
        os.sync()
        began = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=where, env=QUIET, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        problem = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)}: {problem.decode()[-2000:]}")
        return took, usage.ru_maxrss / 1024

    def ours(self, where: Path, *words: str, counted: bool = True) -> float:
        took, peak = self.run(where, sys.executable, "-m", "thrive", *words)
        if counted:
            self.peak_mb = max(self.peak_mb, peak)
        print(f"    thrive {' '.join(words)[:60]:60} {took:7.2f} s {peak:6.0f} MB", flush=True)
        return took

    def theirs(self, where: Path, *words: str) -> float:
        took, peak = self.run(where, self.dvc, *words, "-q")
        print(f"    dvc    {' '.join(words)[:60]:60} {took:7.2f} s {peak:6.0f} MB", flush=True)
        return took


def peer() -> None:
    """Make DVC's environment if this machine has none."""
    if (PEER / "bin" / "dvc").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
    subprocess.run([str(PEER / "bin" / "pip"), "install", "-q", *PINS], check=True)


def write_files(folder: Path, count: int, size: int) -> None:
    for number in range(count):
        inside = folder / f"{number // 1000:03d}"
        if number % 1000 == 0:
            inside.mkdir(parents=True)
        (inside / f"{number:06d}.bin").write_bytes(os.urandom(size))


def sides(bench: Bench, name: str) -> tuple[Path, Path]:
    """Make a project of ours and a repository of theirs."""
    both = bench.folder / f"{name}-ours", bench.folder / f"{name}-dvc"
    for each in both:
        each.mkdir()
        bench.run(each, "git", "init", "-q")
    bench.run(both[0], sys.executable, "-m", "thrive", "init")
    bench.run(both[1], bench.dvc, "init", "-q")
    return both


def many(bench: Bench, name: str, count: int, size: int) -> dict[str, float]:
    """Time all steps on a folder of many files; return ratios, theirs to ours."""
    print(f"{count:,} files of {size:,} bytes", flush=True)
    ours, theirs = sides(bench, name)
    write_files(ours / "data", count, size)
    shutil.copytree(ours / "data", theirs / "data", copy_function=shutil.copy)
    time.sleep(SETTLED_S)
    found = {"add": bench.theirs(theirs, "add", "data")}
    found["add"] /= bench.ours(ours, "data", "add", "data", "--name", "d")
    noop = best(3, lambda: bench.ours(ours, "data", "status"))
    found["noop"] = best(3, lambda: bench.theirs(theirs, "status", "data.dvc")) / noop
    found["git"] = noop / git_status(bench, ours)
    changes = [change(bench, ours, theirs, number) for number in range(3)]
    found["change"] = min(their for _, their in changes) / min(our for our, _ in changes)
    for each in (ours, theirs):
        shutil.rmtree(each / "data")
    checkout = bench.ours(ours, "data", "checkout", "d", "--to", "data")
    found["checkout"] = bench.theirs(theirs, "checkout", "data.dvc") / checkout
    same = subprocess.run(["diff", "-r", ours / "data", theirs / "data"], check=False).returncode
    assert same == 0, "both checked out the same files"
    for each in (ours, theirs):
        shutil.rmtree(each)
    return found


def change(bench: Bench, ours: Path, theirs: Path, number: int) -> tuple[float, float]:
    """Change one file on both sides and time what adds it, of ours and of theirs."""
    for each in (ours, theirs):
        (each / "data" / "000" / "000007.bin").write_bytes(b"changed%d" % number * 100)
    time.sleep(SETTLED_S)
    took = bench.ours(ours, "data", "add", "data", "--name", "d")
    return took, bench.theirs(theirs, "add", "data")


def best(times: int, step) -> float:
    return min(step() for _ in range(times))


def git_status(bench: Bench, where: Path) -> float:
    bench.run(where, "git", "-c", "core.compression=0", "add", "data")
    took = best(3, lambda: bench.run(where, "git", "status", "--short", "-uno")[0])
    full = best(3, lambda: bench.run(where, "git", "status", "--short")[0])
    print(f"    git status {full:.2f} s, -uno {took:.2f} s", flush=True)
    return full


def one_large(bench: Bench, size: int) -> float:
    """Add a file that neither side has seen, three times; compare the shortest of each."""
    print(f"a file of {size:,} bytes", flush=True)
    pairs = [added_large(bench, size, f"large{number}") for number in range(3)]
    return min(their for _, their in pairs) / min(our for our, _ in pairs)


def added_large(bench: Bench, size: int, name: str) -> tuple[float, float]:
    ours, theirs = sides(bench, name)
    with (ours / "large.bin").open("wb") as file:
        for _ in range(0, size, 1 << 20):
            file.write(os.urandom(1 << 20))
    shutil.copy(ours / "large.bin", theirs / "large.bin")
    time.sleep(SETTLED_S)
    their = bench.theirs(theirs, "add", "large.bin")
    took = bench.ours(ours, "data", "add", "large.bin", "--name", "large")
    for each in (ours, theirs):
        shutil.rmtree(each)
    return took, their


def stored(home: Path) -> int:
    blobs = home / ".thrive" / "blobs"
    return sum(path.stat().st_size for path in blobs.rglob("*") if path.is_file())


def append(bench: Bench, size: int) -> float:
    """Return the share of a grown CSV's bytes that was stored for it."""
    print(f"a CSV of {size:,} bytes that grows by 5%", flush=True)
    ours, _ = sides(bench, "append")
    path = ours / "rows.csv"
    random = np.random.default_rng(7)
    rows = 100_000

    def part(header: bool) -> bytes:
        table = pl.DataFrame({f"x{n}": random.random(rows) for n in range(5)})
        return table.write_csv(include_header=header).encode()

    with path.open("wb") as file:
        file.write(part(header=True))
        while file.tell() < size:
            file.write(part(header=False))
    time.sleep(SETTLED_S)
    bench.ours(ours, "data", "add", "rows.csv", "--name", "rows", counted=False)
    before = stored(ours)
    goal = path.stat().st_size * 1.05
    with path.open("ab") as file:
        while file.tell() < goal:
            file.write(part(header=False))
    time.sleep(SETTLED_S)
    bench.ours(ours, "data", "add", "rows.csv", "--name", "rows", counted=False)
    share = (stored(ours) - before) / path.stat().st_size
    shutil.rmtree(ours)
    return share


def tables(bench: Bench, rows: int) -> tuple[float, float]:
    """Time a comparison by key, and adding (which profiles), of tables."""
    print(f"tables of {rows:,} rows", flush=True)
    ours, _ = sides(bench, "tables")
    random = np.random.default_rng(7)
    first = pl.DataFrame(
        {"id": np.arange(rows)} | {f"x{n}": random.random(rows) for n in range(19)}
    )
    first.write_parquet(ours / "first.parquet")
    changed = first.with_columns(
        x3=pl.when(pl.col("id") % 1000 == 0).then(0.0).otherwise(pl.col("x3"))
    )
    changed.tail(rows - 500).write_parquet(ours / "second.parquet")
    wide = {f"n{n}": random.normal(size=rows) for n in range(20)}
    wide |= {f"i{n}": random.integers(0, 1000, rows) for n in range(5)}
    words = np.array([f"word{n}" for n in range(200)])
    wide |= {f"s{n}": words[random.integers(0, 200, rows)] for n in range(5)}
    pl.DataFrame(wide).write_parquet(ours / "wide.parquet")
    for name in ("first", "second"):
        bench.ours(ours, "data", "add", f"{name}.parquet", "--name", "t", counted=False)
    diff = ("data", "diff", "t", "1", "2", "--key", "id")
    took = best(2, lambda: bench.ours(ours, *diff, counted=False))
    profile = bench.ours(ours, "data", "add", "wide.parquet", "--name", "wide", counted=False)
    shutil.rmtree(ours)
    return took, profile


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="100k, 10k, 1g, append, tables, erasure")
    asked = parser.parse_args()
    part = 10 if asked.quick else 1
    peer()
    compile_ours()
    said: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="thrive-data-", dir=asked_folder()) as folder:
        bench = Bench(Path(folder))

        def wanted(name: str) -> bool:
            return asked.only in ("", name)

        if wanted("100k"):
            large = many(bench, "100k", 100_000 // part, 1000)
            said |= {f"{key}100k_vs_dvc": large[key] for key in ("add", "noop", "change")}
        if wanted("10k"):
            small = many(bench, "10k", 10_000 // part, 10_000)
            said |= {f"{key}10k_vs_dvc": small[key] for key in ("add", "noop")}
        if wanted("1g"):
            said["add1g_vs_dvc"] = one_large(bench, 1_000_000_000 // part)
        if wanted("10k"):
            said["checkout10k_vs_dvc"] = small["checkout"]
        said["peak_mb"] = bench.peak_mb
        if wanted("append"):
            said["append_new_share"] = append(bench, 1_000_000_000 // part)
        if wanted("100k"):
            said["vs_git_status"] = large["git"]
        if wanted("tables"):
            said["diff1m_s"], said["profile1m_s"] = tables(bench, 1_000_000 // part)
        if wanted("erasure"):
            found = erasure.measure(erasure.ROWS // part)
            said |= {"find3m_s": found["find"][0], "erase16_s": found["erase"][0]}
    print("BAR data", *(f"{key}={value:.3g}" for key, value in said.items()))


def asked_folder() -> str | None:
    return os.environ.get("THRIVE_BENCH_FOLDER")


if __name__ == "__main__":
    main()
