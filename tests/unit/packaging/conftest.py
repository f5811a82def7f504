import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before scikit-learn loads OpenMP

import numpy as np
import polars as pl
import pytest


def flights(rows: int = 600, seed: int = 0) -> pl.DataFrame:
    """Numbers, integers, booleans and categories, each with missing values but one."""
    rng = np.random.default_rng(seed)

    def gaps(values):
        gone = rng.random(rows) < 0.1
        return [None if g else v for g, v in zip(gone, values, strict=True)]

    return pl.DataFrame(
        {
            "origin": gaps(rng.choice(["EWR", "JFK", "LGA"], rows).tolist()),
            "delay": gaps(rng.normal(size=rows).round(2).tolist()),
            "hour": rng.integers(0, 24, rows).tolist(),
            "carrier": gaps(rng.choice(list("ABCDEFGHIJ"), rows).tolist()),
            "night": gaps((rng.random(rows) < 0.3).tolist()),
            "wind": gaps((rng.normal(size=rows) * 1e3).tolist()),
        }
    )


def is_late(frame: pl.DataFrame, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed + 1)
    delay = frame["delay"].fill_null(0).to_numpy()
    carrier = (frame["carrier"].fill_null("A") < "E").to_numpy()
    return delay + carrier + rng.normal(size=frame.height) > 0.5


@pytest.fixture(scope="session")
def frame():
    return flights()


@pytest.fixture(scope="session")
def categorical(frame):
    return frame.with_columns(pl.col("origin", "carrier").cast(pl.Categorical))


@pytest.fixture(scope="session")
def late(frame):
    return is_late(frame)


@pytest.fixture(scope="session")
def trees_model(categorical, late):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=12, random_state=0).fit(categorical, late)


@pytest.fixture(scope="session")
def trees_package(trees_model, categorical):
    from thrive.packaging.package import pack

    return pack(trees_model, categorical, created=1)
