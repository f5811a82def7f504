"""Search over a million runs with 20 metrics each: how long it takes, and what the server holds.

usage: python benchmarks/tracking_million.py [--runs 1000000] [--times 15] [--folder FOLDER]

The runs are those of `tracking.py`, in a home that is made first unless the folder
holds one already. The search is by a metric and a parameter, ordered by a metric, 100 runs a page;
a second one asks for the newest runs. Memory is the proportional memory of all its processes.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bytecode import compile_ours

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.tracking import Server, first_search, p50, search, start_thrive
from benchmarks.tracking_runs import fill_thrive_fast

EXPERIMENT = "1"


def newest(server: Server, times: int) -> float:
    """Return the median seconds of a search for the newest 100 runs."""
    body = {"experiment_ids": [EXPERIMENT], "max_results": 100}
    return p50(server, server.sent("POST", "runs/search", body), times)


def measure(folder: Path, runs: int, times: int) -> str:
    """Return the line of the bar for a home of so many runs."""
    server = start_thrive(folder)
    try:
        print(f"start {server.start_s:.2f} s, memory {server.memory_mb():.0f} MB", flush=True)
        first_s = first_search(server, EXPERIMENT)
        print(f"first search {first_s:.1f} s, memory {server.memory_mb():.0f} MB", flush=True)
        found, recent = search(server, EXPERIMENT, times), newest(server, times)
        return (
            f"BAR tracking_million runs={runs} search_ms={found * 1000:.1f} "
            f"newest_ms={recent * 1000:.1f} first_search_s={first_s:.1f} "
            f"memory_mb={server.memory_mb():.0f}"
        )
    finally:
        server.stop()


def main() -> None:
    compile_ours()
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder: Path = options.folder or Path(name) / "home"
        if not (folder / ".thrive").exists():
            began = time.perf_counter()
            experiment = fill_thrive_fast(folder, options.runs)
            assert experiment == EXPERIMENT
            print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)
        print(measure(folder, options.runs, options.times))


if __name__ == "__main__":
    main()
