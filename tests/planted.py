"""A project in which one person stands everywhere: for tests of finding and of erasing."""

import gzip
from pathlib import Path

import polars as pl

from thrive.data.operations import add
from thrive.data.reading import find_version
from thrive.domain.identifiers import new_id
from thrive.domain.model import Model, ModelVersion
from thrive.domain.prediction import Outcome
from thrive.domain.run import Run, RunState, Use
from thrive.operations import Context
from thrive.serving.records import KIND, Logged, encode
from thrive.store import models, predictions, runs
from thrive.store.eventlog import SegmentWriter

PERSON = "ada.lovelace@example.org"
OTHERS = ("bob@example.org", "eve@example.org", "max@example.org")
NUMBER = 7_734_881_234
"""The same person where people are numbers."""
AT = 1_700_000_000_000_000
CONTRACT = """\
contract = 1

[project]
name = "shop"

[data.orders]
source = "orders.csv"
owner = "shop"
why = "orders"
subject = "customer"
personal = { customer = "email", amount = "none" }

[data.visits]
source = "visits"
owner = "shop"
why = "visits"
subject = "customer"
personal = { customer = "email" }

[data.notes]
source = "notes.jsonl"
owner = "shop"
why = "notes"
subject = "customer"
personal = { customer = "email" }

[data.accounts]
source = "accounts.csv.gz"
owner = "shop"
why = "accounts"
subject = "account"
personal = { account = "id" }
"""


def people(count: int) -> list[str]:
    """Return customers: the person first, then others."""
    return [PERSON, *(OTHERS[number % len(OTHERS)] for number in range(count - 1))]


def table(count: int) -> pl.DataFrame:
    """Return rows of customers, one of them the person's."""
    return pl.DataFrame(
        {"customer": people(count), "amount": [float(number) for number in range(count)]}
    )


def plant_data(ctx: Context, folder: Path) -> None:
    """Add two versions of orders (CSV), one of visits (Parquet), notes (JSONL), accounts (gzip).

    `joined` has the person's column and declares no subject; `weather` names nobody.
    """
    (folder / "thrive.toml").write_text(CONTRACT)
    for count in (5, 8):
        table(count).write_csv(folder / "orders.csv")
        add(ctx, name="orders")
    (folder / "visits").mkdir()
    table(6).write_parquet(folder / "visits" / "a.parquet", compression="zstd")
    table(4).slice(1).write_parquet(folder / "visits" / "b.parquet")
    add(ctx, name="visits")
    table(3).write_ndjson(folder / "notes.jsonl")
    add(ctx, name="notes")
    rows = ["account,town", f"{NUMBER},Bonn", "1,Rome", "2,Oslo"]
    (folder / "accounts.csv.gz").write_bytes(gzip.compress("\n".join([*rows, ""]).encode()))
    add(ctx, name="accounts")
    table(7).write_parquet(folder / "joined.parquet")
    add(ctx, "joined.parquet", name="joined")
    pl.DataFrame({"day": [1, 2], "rain": [0.5, 0.0]}).write_csv(folder / "weather.csv")
    add(ctx, "weather.csv", name="weather")


def plant_model(ctx: Context, name: str, evaluation: str = "", reference: str = "") -> str:
    """Record a run that read a dataset version, and the model version `value` that it made."""
    version = find_version(ctx, name)
    now = ctx.now()
    run = Run(
        run_id=new_id(),
        experiment="e",
        name="n",
        state=RunState.DONE,
        actor="ann",
        started_at=now,
        ended_at=now + 1,
        pipeline="train",
    )
    used = Use(
        kind="dataset",
        name=version.dataset,
        digest=version.digest,
        direction="in",
        version=version.version,
    )
    with ctx.write("run") as tx:
        runs.save(tx, ctx.project_id, run)
        runs.add_use(tx, ctx.project_id, run.run_id, used)
        models.save(tx, ctx.project_id, Model(name="value", owner="", purpose="", created_at=0))
        made = ModelVersion(
            model="value",
            version=models.next_version(tx, ctx.project_id, "value"),
            package="",
            signature={},
            metrics={},
            run_id=run.run_id,
            contract="",
            commit="c" * 40,
            dirty=False,
            created_at=now,
            actor="ann",
            training={version.dataset: version.digest},
            evaluation=evaluation,
            reference=reference,
        )
        models.insert_version(tx, ctx.project_id, made, [])
    return run.run_id


def answer(writer: SegmentWriter, customers: list[str], at: int = AT) -> str:
    """Append one record of the prediction log: a row for each customer; return its id."""
    rows = len(customers)
    logged = Logged(
        m="value",
        v=1,
        a="production",
        t=at,
        n=rows,
        x={"amount": [1.0] * rows},
        k={"customer": list(customers)},
        y=[0.5] * rows,
        d=[True] * rows,
    )
    return writer.append(KIND, at, encode(logged), rows)


def tell_outcomes(ctx: Context, *prediction_ids: str) -> None:
    """Record an outcome for each prediction."""
    batch = [
        Outcome(prediction_id=each, value=1, observed_at=AT, recorded_at=AT)
        for each in prediction_ids
    ]
    with ctx.observe("outcomes") as tx:
        predictions.insert_outcomes(tx, ctx.project_id, batch)
