"""The peer's half of `features.py`: runs in Feast's own environment and prints JSON.

usage: python features_feast.py FOLDER join file|duckdb | online
"""

import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

COLUMNS = 5
VIEWS = 3


def store_of(folder: Path, offline: str, name: str) -> FeatureStore:
    home = folder / f"feast-{name}-{offline}"
    home.mkdir()
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(home / "registry.db"),
        online_store={"type": "sqlite", "path": str(home / "online.db")},
        offline_store={"type": offline},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    entity = Entity(name="k", join_keys=["k"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=f"view{number}",
            entities=[entity],
            ttl=timedelta(days=3),
            schema=[Field(name=f"v{number}_{c}", dtype=Float64) for c in range(COLUMNS)],
            source=FileSource(path=str(folder / f"{name}{number}.parquet"), timestamp_field="at"),
        )
        for number in range(VIEWS)
    ]
    store.apply([entity, *views])
    return store


def features() -> list[str]:
    return [f"view{n}:v{n}_{c}" for n in range(VIEWS) for c in range(COLUMNS)]


def join(folder: Path, offline: str) -> dict:
    store = store_of(folder, offline, "history")
    rows = pd.read_parquet(folder / "entities.parquet").rename(columns={"at": "event_timestamp"})
    times = []
    for _ in range(1 if offline == "file" else 2):
        began, busy = time.perf_counter(), time.process_time()
        found = store.get_historical_features(entity_df=rows, features=features()).to_df()
        times.append((time.perf_counter() - began, time.process_time() - busy))
    took, cpu = (min(part) for part in zip(*times, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sums = {name: float(found[name].sum()) for name in ("v0_0", "v2_4")}
    return {"s": took, "cpu_s": cpu, "rows": len(found), "peak_mb": peak, "sums": sums}


def online(folder: Path) -> dict:
    store = store_of(folder, "file", "newest")
    now = datetime.now(UTC)
    began, busy = time.perf_counter(), time.process_time()
    store.materialize(now - timedelta(days=30), now)
    found = {
        "materialize_s": time.perf_counter() - began,
        "materialize_cpu_s": time.process_time() - busy,
    }
    for count, turns in ((1, 2000), (100, 100)):
        keys = [{"k": (n * 37) % 100_000} for n in range(count)]
        times = []
        for _ in range(turns):
            began = time.perf_counter()
            answer = store.get_online_features(features=features(), entity_rows=keys).to_dict()
            times.append(time.perf_counter() - began)
        found[f"online{count}_ms"] = sorted(times)[turns // 2] * 1000
        found[f"sample{count}"] = answer["v1_1"][0]
    return found


def main() -> None:
    folder, work = Path(sys.argv[1]), sys.argv[2]
    print(json.dumps(join(folder, sys.argv[3]) if work == "join" else online(folder)))


main()
