"""Why a past prediction is what it is: reproduced from its record, and shared out to its inputs.

The shares are Shapley values of the score against a background of other rows, estimated by sampled
permutations, each with its reverse (Strumbelj and Kononenko 2014, doi:10.1007/s10115-013-0679-x;
antithetic pairs: Mitchell et al. 2022, JMLR 23:43). In every permutation the shares add up to the
score minus the background row's score, so their means add up exactly too. They say what the model
used, not what causes the outcome.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.contract.parse import parse
from thrive.domain.clock import DAY
from thrive.domain.errors import CannotTell, NotFound, UsageError
from thrive.packaging.formats.predictor import Predictor
from thrive.packaging.rows import RowReader
from thrive.packaging.signature import OutputKind
from thrive.serving.lookup import find_row
from thrive.serving.packages import PackageCache, load_stored
from thrive.serving.records import decode
from thrive.serving.routes import read_routes
from thrive.store import models, projects
from thrive.store.eventlog import EventLog, read_segment, segments
from thrive.store.home import Home
from thrive.store.prediction_frames import predictions_between

if TYPE_CHECKING:
    import polars as pl

PAIRS = 48
"""Pairs of permutations: twice as many halve the standard error's square."""
MOST_BACKGROUND = 200
_AT_ONCE = 4096

RowValues = Mapping[str, Any]


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one input adds to the score, and the standard error of the estimate."""

    name: str
    value: Any
    adds: float
    error: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction, reproduced and explained.

    Attributes:
        score: as the model answers the record's inputs now.
        recorded: as it was answered then; None for a model without scores.
        reproduced: whether both are the same within 1e-9.
        base: mean score of the background rows; the shares add up to `score - base`.
        background: how many rows that was.
        shares: largest first.
    """

    prediction_id: str
    model: str
    version: int
    score: float
    recorded: float | None
    reproduced: bool
    base: float
    background: int
    shares: list[Share]


def explain(
    predictor: Predictor,
    inputs: RowValues,
    background: Sequence[RowValues],
    *,
    pairs: int = PAIRS,
    seed: int = 0,
) -> tuple[float, float, list[Share]]:
    """Return the score of a row, the background's mean score, and the share of each input.

    Args:
        predictor: the model.
        inputs: the row, by the names of the signature.
        background: rows to compare with; the first `2 * pairs` are used, in a circle.
        pairs: of permutations.
        seed: of the permutations.

    Raises:
        CannotTell: there is no background, or the model gives no score.
        UsageError: a row does not fit the signature.
    """
    if not background:
        raise CannotTell("There is no other row to compare with.", "ask again after more traffic")
    names = predictor.signature.names
    score_of = _Score(predictor, inputs)
    rng = np.random.default_rng(seed)
    count = len(names)
    others = [background[number % len(background)] for number in range(pairs)]
    orders: list[list[int]] = []
    for _ in range(pairs):
        order: list[int] = rng.permutation(count).tolist()
        orders += [order, order[::-1]]
    rows = [
        row
        for number, order in enumerate(orders)
        for row in _path(inputs, others[number // 2], [names[place] for place in order])
    ]
    scores = score_of(rows).reshape(len(orders), count + 1)
    steps = np.diff(scores, axis=1)
    added = np.empty((len(orders), count))
    for number, order in enumerate(orders):
        added[number, order] = steps[number]
    paired = added.reshape(pairs, 2, count).mean(axis=1)
    errors = paired.std(axis=0, ddof=1) / math.sqrt(pairs) if pairs > 1 else np.zeros(count)
    shares = [
        Share(name=name, value=inputs.get(name), adds=float(mean), error=float(error))
        for name, mean, error in zip(names, paired.mean(axis=0), errors, strict=True)
    ]
    shares.sort(key=lambda share: -abs(share.adds))
    return float(scores[0, -1]), float(scores[:, 0].mean()), shares


def _path(inputs: RowValues, other: RowValues, order: list[str]) -> list[RowValues]:
    """Return the rows on the way from another row to this one, an input at a time."""
    row = dict(other)
    rows: list[RowValues] = [row]
    for name in order:
        row = {**row, name: inputs.get(name)}
        rows.append(row)
    return rows


class _Score:
    """The score of rows: the number, the probability, or the share of the class decided first."""

    def __init__(self, predictor: Predictor, inputs: RowValues) -> None:
        self._predictor = predictor
        self._reader = RowReader(predictor.signature)
        self._place = 0
        kind = predictor.signature.output.kind
        if kind is OutputKind.CLASS:
            raise CannotTell(
                "The model answers classes without scores: there is nothing to share out.",
                "train one with probabilities",
            )
        if kind is OutputKind.VECTOR:
            self._place = int(self._raw([inputs])[0].argmax())

    def __call__(self, rows: list[RowValues]) -> NDArray[np.float64]:
        parts = [self._raw(rows[at : at + _AT_ONCE]) for at in range(0, len(rows), _AT_ONCE)]
        raw = np.concatenate(parts)
        return raw[:, self._place] if raw.ndim == 2 else raw

    def _raw(self, rows: list[RowValues]) -> NDArray[Any]:
        known = self._predictor.signature.names
        plain = [{name: row.get(name) for name in known} for row in rows]
        return self._predictor.predict(self._reader.read(plain))


def explain_record(
    predictor: Predictor,
    record: Mapping[str, Any],
    background: Sequence[RowValues],
    mask: frozenset[str] = frozenset(),
) -> Explanation:
    """Return the explanation of a logged prediction.

    Args:
        predictor: the version that answered it.
        record: its row of the prediction log's table.
        background: inputs of other rows.
        mask: fields whose values were not logged.

    Raises:
        CannotTell: an input was not logged, or nothing was answered.
    """
    inputs = {name[2:]: value for name, value in record.items() if name.startswith("x.")}
    lost = mask & set(predictor.signature.names)
    if lost or not inputs or record["error"]:
        why = f"the contract masks {min(lost)}" if lost else record["error"] or "nothing was kept"
        raise CannotTell(f"The prediction cannot be reproduced: {why}.", "see log in thrive.toml")
    try:
        score, base, shares = explain(predictor, inputs, background)
    except UsageError as error:
        raise CannotTell(f"The record does not fit the model: {error.what}", "") from None
    recorded = record["score"]
    same = recorded is not None and math.isclose(score, recorded, rel_tol=1e-9, abs_tol=1e-9)
    return Explanation(
        prediction_id=record["prediction_id"],
        model=record["model"],
        version=record["version"],
        score=score,
        recorded=recorded,
        reproduced=same,
        base=base,
        background=len(background),
        shares=shares,
    )


def explain_prediction(home: Home, prediction_id: str) -> Explanation:
    """Return the explanation of a prediction that a home's log holds.

    The background is what the same version was asked in the week around it.

    Raises:
        NotFound: there is no such prediction.
        CannotTell: it cannot be reproduced.
    """
    row, _ = find_row(home, prediction_id)
    if row["version"] < 1:
        raise CannotTell("No version answered that: the fallback did.", "thrive releases list")
    with home.read() as tx:
        version = models.get_version(tx, home.project_id, row["model"], row["version"])
        stored = projects.find_contract(tx, home.project_id, version.contract)
    predictor = load_stored(home.blobs, version)
    terms = parse(stored.text).contract.model.get(version.model) if stored else None
    mask = frozenset(terms.log.mask) if terms else frozenset[str]()
    return explain_record(predictor, row, _background(home, row, predictor), mask)


def explain_on_host(cache: Path, log: Path, prediction_id: str) -> Explanation:
    """Return the explanation of a prediction that waits in the log of a host without a home.

    The background is what the same version was asked there lately.

    Args:
        cache: the host's folder of routing file and packages.
        log: the folder of its prediction log.
        prediction_id: as it came back with the prediction.

    Raises:
        NotFound: it is not in this log, or its version is no longer live here.
        CannotTell: it cannot be reproduced.
    """
    import polars as pl

    try:
        frame = decode([EventLog(log).find(prediction_id)])
    except NotFound as error:
        raise NotFound(
            f"{error.what} What was shipped is explained where the home is.",
            f"thrive predictions explain {prediction_id}",
        ) from None
    row = frame.row(by_predicate=pl.col("prediction_id") == prediction_id, named=True)
    served = read_routes(cache).models.get(row["model"])
    live = {each.version: each for each in served.variants} if served else {}
    if served is None or row["version"] not in live:
        raise NotFound(
            f"{row['model']}@{row['version']} does not answer here any more.",
            f"thrive predictions explain {prediction_id}",
        )
    variant = live[row["version"]]
    predictor = PackageCache(cache / "packages").load(
        variant.package, row["model"], variant.version, variant.seal
    )
    known = decode(record for each in segments(log) for record in read_segment(each.path))
    names = [f"x.{name}" for name in predictor.signature.names]
    mine = known.filter(
        (pl.col("model") == row["model"])
        & (pl.col("version") == row["version"])
        & (pl.col("error") == "")
    )
    mask = frozenset(served.mask)
    return explain_record(predictor, row, _rows_of(mine, names, predictor), mask)


def _background(home: Home, row: Mapping[str, Any], predictor: Predictor) -> list[RowValues]:
    names = [f"x.{name}" for name in predictor.signature.names]
    start, end = row["time"] - 6 * DAY, row["time"] + DAY
    known = predictions_between(
        home, start, end, row["model"], row["version"], columns=[*names, "time", "error"]
    )
    if "error" in known.columns:
        known = known.filter(known["error"] == "")
    return _rows_of(known, names, predictor)


def _rows_of(known: "pl.DataFrame", names: list[str], predictor: Predictor) -> list[RowValues]:
    """Return some rows of what was asked; the signature's example where that is too little."""
    if known.height < 2 or not set(names) <= set(known.columns):
        return [*predictor.signature.example]
    rows = known.select(names)
    few = rows.gather_every(max(1, -(-rows.height // MOST_BACKGROUND)))
    return [{name[2:]: value for name, value in each.items()} for each in few.to_dicts()]
