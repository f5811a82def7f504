"""The same runs for `tracking.py` in a home of Thrive and in a database of MLflow."""

import random
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.identifiers import new_id
from thrive.domain.run import Run, RunState
from thrive.store import experiments, runs
from thrive.store.home import create_home

METRICS, PARAMS, TAGS = 20, 10, 3
_RUN_COLUMNS = (
    "run_uuid",
    "name",
    "source_type",
    "source_name",
    "entry_point_name",
    "user_id",
    "status",
    "start_time",
    "end_time",
    "source_version",
    "lifecycle_stage",
    "artifact_uri",
    "experiment_id",
)


def drawn(number: int, dice: random.Random) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics and parameters of one of the runs that are searched."""
    metrics = {f"m{i}": dice.random() for i in range(METRICS)}
    params = {f"p{i}": f"{(number * (i + 3)) % 97}" for i in range(1, PARAMS)}
    return metrics, {"p0": dice.choice("xyz"), **params}


def fill_thrive(folder: Path, count: int) -> str:
    """Make a home that holds runs; return the number of their experiment."""
    folder.mkdir(exist_ok=True)
    (folder / "thrive.toml").write_text("contract = 1\n")
    home = create_home(folder, "bench")
    dice, now = random.Random(3), home.now()
    with home.write() as tx:
        made = experiments.create(tx, home.project_id, "bench", now, {})
    for first in range(0, count, 1000):
        rows: list[Run] = []
        for number in range(first, min(first + 1000, count)):
            metrics, params = drawn(number, dice)
            run = Run(
                run_id=new_id(),
                experiment="bench",
                name=f"run-{number}",
                state=RunState.DONE,
                actor="bench",
                started_at=now + number * 1000,
                ended_at=now + number * 1000 + 5,
                metrics=dict(metrics),
                params=dict(params),
                tags={f"t{i}": "v" for i in range(TAGS)},
            )
            rows.append(run)
        with home.write() as tx:
            for run in rows:
                runs.save(tx, home.project_id, run)
    home.close()
    return str(made.experiment_id)


def fill_thrive_fast(folder: Path, count: int) -> str:
    """Make the same home by one statement, for counts that would take minutes one by one."""
    experiment = fill_thrive(folder, 1)
    database = sqlite3.connect(folder / ".thrive" / "thrive.db")
    database.row_factory = sqlite3.Row
    first = dict(database.execute("SELECT * FROM runs").fetchone())
    dice, encode = random.Random(4), msgspec.json.encode

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(1, count):
            metrics, params = drawn(number, dice)
            at = first["started_at"] + number * 1000
            own = {
                "run_id": new_id(),
                "name": f"run-{number}",
                "started_at": at,
                "ended_at": at + 5,
            }
            own |= {"metrics": encode(metrics).decode(), "params": encode(params).decode()}
            yield tuple((first | own).values())

    places = ", ".join("?" * len(first))
    names = ", ".join(f'"{name}"' for name in first)
    with database:
        database.executemany(f"INSERT INTO runs ({names}) VALUES ({places})", rows())
    database.close()
    return experiment


def fill_mlflow(folder: Path, count: int) -> str:
    """Put the same runs into the database of an MLflow server that was started once."""
    db = sqlite3.connect(folder / "mlflow.db")
    now, dice = int(time.time() * 1000), random.Random(3)
    cursor = db.execute(
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time,"
        " last_update_time, workspace) VALUES ('bench', 'mlflow-artifacts:/9', 'active', ?, ?,"
        " 'default')",
        (now, now),
    )
    experiment = cursor.lastrowid
    for number in range(count):
        run_id = uuid.uuid4().hex
        metrics, params = drawn(number, dice)
        tags = {f"t{i}": "v" for i in range(TAGS)}
        named = (run_id, f"run-{number}", "LOCAL", "", "", "bench", "FINISHED")
        times = (now + number, now + number + 5)
        place = ("", "active", f"mlflow-artifacts:/9/{run_id}/artifacts", experiment)
        columns = ", ".join(_RUN_COLUMNS)
        marks = ", ".join("?" * len(_RUN_COLUMNS))
        db.execute(f"INSERT INTO runs ({columns}) VALUES ({marks})", (*named, *times, *place))
        for table in ("latest_metrics", "metrics"):
            db.executemany(
                f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid)"
                " VALUES (?, ?, ?, 0, 0, ?)",
                [(key, value, now, run_id) for key, value in metrics.items()],
            )
        for table, pairs in (("params", params), ("tags", tags)):
            db.executemany(
                f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)",
                [(key, value, run_id) for key, value in pairs.items()],
            )
    db.commit()
    db.close()
    return str(experiment)
