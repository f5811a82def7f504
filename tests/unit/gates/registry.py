"""Versions registered straight in the store, as a run would, for tests of gates."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before scikit-learn loads OpenMP

import io

import numpy as np
import polars as pl

from thrive.contract.parse import parse
from thrive.domain.clock import DAY, machine_now
from thrive.domain.dataset import Dataset, DatasetVersion
from thrive.domain.model import Model, ModelVersion
from thrive.domain.project import StoredContract
from thrive.domain.release import RoutingTable, Variant
from thrive.packaging.package import pack
from thrive.store import datasets, models, projects, releases

CONTRACT = """
[team.ours]
channel = "mailto:ours@example.org"

[data.flights]
source = "data/flights"
owner = "ours"
why = "Past departures with their arrival delay."
allowed = ["delay-warning"]
personal = { tailnum = "none" }
legal_basis = "none needed: no personal data"
licence = "CC0-1.0"
retention = "5 years"

[model.delay]
purpose = "delay-warning: tell the operations desk two hours ahead which departures are late."
owner = "ours"
deputy = "ours"
users = ["operations desk"]
where = "http"
risk = "minimal"
target = { column = "late", positive = true, threshold = 0.5 }
sla = { p99_ms = 1000, availability = 99.0, max_age = "90 days", outcomes_within = "1 day" }

[model.delay.gates]
quality = { metric = "roc_auc", margin = 0.02, slices = ["origin"] }
bias = { groups = ["carrier"], equal_opportunity = 0.15 }
speed = { p50_ratio = 1.5 }
"""
START = 1_357_000_000_000_000


def table(rows=3000, seed=0, days=30, start=START):
    """Rows whose lateness depends on the wind and the hour, in a season of some days."""
    rng = np.random.default_rng(seed)
    wind, hour = rng.normal(size=rows), rng.integers(0, 24, rows)
    late = wind + hour / 12 - 1 + rng.logistic(size=rows) * 0.7 > 0
    return pl.DataFrame(
        {
            "wind": wind,
            "hour": hour,
            "origin": rng.choice(["EWR", "JFK", "LGA"], rows),
            "carrier": rng.choice(["AA", "B6", "UA"], rows),
            "_label": late,
            "_time": start + (np.arange(rows) * days // rows) * DAY,
        }
    )


FEATURES = ["wind", "hour", "origin", "carrier"]


def trees(rows, iterations=40, features=FEATURES, label="_label"):
    from sklearn.ensemble import HistGradientBoostingClassifier

    inputs = rows.select(features).with_columns(pl.selectors.string().cast(pl.Categorical))
    model = HistGradientBoostingClassifier(max_iter=iterations, random_state=0, max_leaf_nodes=15)
    return model.fit(inputs, rows[label]), inputs


class Registry:
    """Registers versions straight in the store, as a run would."""

    def __init__(self, home):
        self.home = home
        with home.write() as tx:
            models.save(
                tx, home.project_id, Model(name="delay", owner="o", purpose="p", created_at=0)
            )
            dataset = Dataset(name="flights", owner="ours", why="w", created_at=0)
            datasets.save(tx, home.project_id, dataset)
            datasets.insert_version(tx, home.project_id, flights_version())

    def add(self, model, inputs, rows, *, contract=CONTRACT, package=None, **changes):
        package = package or pack(model, inputs, created=1)
        blobs = self.home.blobs
        for data in package.files.values():
            blobs.put(data)
        blobs.put(package.manifest.to_bytes())
        stream = io.BytesIO()
        rows.write_parquet(stream)
        with self.home.write() as tx:
            parsed = parse(contract)
            stored = StoredContract(digest=parsed.digest, text=contract, commit="c", stored_at=0)
            projects.store_contract(tx, self.home.project_id, stored)
            version = ModelVersion(
                model="delay",
                version=models.next_version(tx, self.home.project_id, "delay"),
                package=package.digest,
                signature={},
                metrics=changes.pop("metrics", {}),
                run_id=changes.pop("run_id", ""),
                contract=parsed.digest,
                commit=changes.pop("commit", "c"),
                dirty=False,
                created_at=0,
                actor="tester",
                training=changes.pop("training", {"flights": "d" * 64}),
                evaluation=blobs.put(stream.getvalue()),
                **changes,
            )
            models.insert_version(tx, self.home.project_id, version, [])
        return version

    def make_live(self, version):
        with self.home.write() as tx:
            current = releases.current_routing(tx, self.home.project_id, "delay")
            revision = current.revision if current else 0
            table = RoutingTable(
                model="delay",
                revision=revision + 1,
                variants=[Variant(version=version.version, package=version.package, share=1.0)],
                fallback=0.2,
                salt="s",
                at=0,
                reason="test",
                actor="tester",
            )
            releases.move_routing(tx, self.home.project_id, table, revision)


def flights_version(**changes):
    fields = {
        "dataset": "flights",
        "version": 1,
        "digest": "d" * 64,
        "source": "data/flights",
        "file_count": 0,
        "rows": 1,
        "size": 1,
        "columns": [],
        "created_at": machine_now(),
        "actor": "tester",
    }
    return DatasetVersion(**{**fields, **changes})
