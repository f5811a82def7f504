"""What a version in the shadow costs the callers of the version that answers.

usage: python benchmarks/serving_shadow.py [--model lr] [--connections 16] [--rounds 31]
                                           [--seconds 1]

Two model servers on this machine serve the same model, one of them with a second version in the
shadow of it. wrk loads them in turn, as fast as they answer, and each round gives the ratio of
their 99th percentiles: a machine is not equally fast for long. The last line holds the median of
the ratios, the share of the rate that is left, and how many answers the shadow saw.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from bytecode import compile_ours
from serving import PLAIN, Load, folder_of, make_project, our_asks, rows_of_training, serve, wrk

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers import free_ports
from tests.serving_home import MODEL, add_version, live, route

from thrive.packaging.package import Package
from thrive.serving.sealing import seal_logs
from thrive.store import models
from thrive.store.home import open_home
from thrive.store.prediction_frames import predictions_between


def add_shadow(folder: Path) -> None:
    """Put the version that answers in the shadow of itself, under another number."""
    from thrive.packaging.manifest import read_manifest

    home = open_home(folder)
    with home.read() as tx:
        first = models.get_version(tx, home.project_id, MODEL)
    manifest = read_manifest(home.blobs.get(first.package), digest=first.package)
    files = {name: home.blobs.get(entry.digest) for name, entry in manifest.files.items()}
    second = add_version(home, Package(manifest=manifest, files=files), contract=PLAIN)
    route(home, live(first), live(second, shadow=True))
    home.close()


def shadow_rows(folder: Path) -> int:
    """Return how many answers of the shadow are in the log."""
    home = open_home(folder)
    seal_logs(home, force=True)
    logged = predictions_between(home, 0, 1 << 53, MODEL, columns=["variant", "error"])
    home.close()
    assert set(logged["error"].to_list()) == {""}
    return int((logged["variant"] == "shadow").sum())


def main() -> None:
    compile_ours()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lr")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        rows_of_training(top)
        rows = np.load(top / "rows.npz")["x"][:1].round(6).tolist()
        folder = folder_of(top, "servers")
        for name in ("alone", "shadowed"):
            make_project(folder / name, options.model, folder / "rows.npz", PLAIN)
        add_shadow(folder / "shadowed")
        report(folder, rows, options)


def report(folder: Path, rows: list, options: argparse.Namespace) -> None:
    """Load both servers in turn and print what was seen."""
    body = folder / "one.json"
    asks = {
        name: our_asks(port, rows)[0]
        for name, port in zip(("alone", "shadowed"), free_ports(2), strict=True)
    }
    body.write_bytes(asks["alone"].body)
    running = [serve(folder / name, ask.port, ask) for name, ask in asks.items()]

    def load(name: str, seconds: float) -> Load:
        return wrk(asks[name].port, asks[name].path, body, options.connections, seconds)

    ratios, rates = [], []
    try:
        for name in asks:
            load(name, 1.0)
        for number in range(options.rounds):
            order = list(asks)[:: 1 if number % 2 else -1]
            seen = {name: load(name, options.seconds) for name in order}
            ratios.append(seen["shadowed"].p99 / seen["alone"].p99)
            rates.append(seen["shadowed"].rps / seen["alone"].rps)
            words = [f"{name} {one.rps:.0f}/s p99 {one.p99:.2f} ms" for name, one in seen.items()]
            print("; ".join(words), flush=True)
    finally:
        for each in running:
            each.stop()
    found = {
        "p99_ratio": statistics.median(ratios),
        "rate_left": statistics.median(rates),
        "shadow_rows": shadow_rows(folder / "shadowed"),
    }
    print("BAR shadow " + " ".join(f"{key}={value:.3g}" for key, value in found.items()))


if __name__ == "__main__":
    main()
