"""What the prediction log says of a release's present phase."""

from typing import TYPE_CHECKING

import msgspec

from thrive.contract.schema import ModelTerms
from thrive.domain.clock import parse_duration
from thrive.domain.release import PhaseKind, Release
from thrive.packaging.signature import Output
from thrive.release.quality import Quality, compare_paired, compare_unpaired
from thrive.store.home import Home
from thrive.store.prediction_frames import predictions_between, with_outcomes

if TYPE_CHECKING:
    import polars as pl

RECORD_DIGITS = 28
"""Digits of a prediction id that name its record: what one request was."""
FAR = 0.1
"""Scores that differ by more count as far apart."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What one version did in the phase.

    Attributes:
        requests: that it was asked.
        errors: requests it did not answer.
        slow: requests it answered later than the guard's latency.
        rows: predictions it made.
        longest_run: most errors in a row.
        nan: requests that it answered NaN; they are errors too.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    rows: int = 0
    longest_run: int = 0
    nan: int = 0


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow's answers beside the live ones, on the same rows.

    Attributes:
        rows: compared.
        other_decisions: share of rows decided otherwise.
        score_shift: mean of shadow minus live score, None without scores.
        far: share of rows whose scores differ by more than 0.1, None without scores.
        requests: that the rows came with: those of one request are alike.
        requests_otherwise: sum over them of their share of rows that were decided otherwise.
    """

    rows: int
    other_decisions: float
    requests: int = 0
    requests_otherwise: float = 0.0
    score_shift: float | None = None
    far: float | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a phase showed until now.

    Attributes:
        assigned: keys drawn for production and for the candidate, None in a shadow.
        agreement: the shadow's answers beside the live ones.
        quality: outcomes on the rows that both versions answered.
        groups: outcomes of the candidate's own rows against production's, in an A/B phase; this
            also sees what the answers themselves changed.
    """

    production: Counts = Counts()
    candidate: Counts = Counts()
    assigned: tuple[int, int] | None = None
    agreement: Agreement | None = None
    quality: Quality | None = None
    groups: Quality | None = None


def collect(home: Home, release: Release, now: int, terms: ModelTerms, output: Output) -> Evidence:
    """Return the evidence of a release's present phase.

    Args:
        home: where the predictions are.
        release: what is judged.
        now: the project's present moment; later predictions are not looked at.
        terms: the contract's words about the model.
        output: what the candidate answers.
    """
    import polars as pl

    frame = _frame(home, release, now, terms)
    if frame.is_empty():
        return Evidence()
    candidate, production = _of(frame, release.candidate), _of(frame, release.production)
    limit_us = (terms.release.guard.p99_ms or 0) * 1000
    shadow = release.phases[release.position].kind is PhaseKind.SHADOW
    own = candidate.filter(pl.col("variant") == ("shadow" if shadow else "candidate"))
    quality, groups = _quality(home, release, frame, now, terms, output)
    return Evidence(
        production=_count(production, limit_us),
        candidate=_count(own, limit_us),
        assigned=None if shadow else _assigned(frame, release),
        agreement=_agreement(candidate, frame),
        quality=quality,
        groups=groups,
    )


def _frame(home: Home, release: Release, now: int, terms: ModelTerms) -> "pl.DataFrame":
    import polars as pl

    fixed = ["prediction_id", "time", "version", "variant", "score", "decision", "error"]
    columns = [*fixed, "latency_us", "live_id", *(f"k.{name}" for name in terms.entity)]
    frame = predictions_between(
        home, release.phase_started_at, now + 1, release.model, columns=columns
    )
    frame = frame.filter(pl.col("variant") != "chosen")  # the caller's choice is no draw
    record = pl.col("prediction_id").str.slice(0, RECORD_DIGITS).alias("record")
    return frame.with_columns(record).with_columns(_key(_entity(frame, terms)).alias("key"))


def _of(frame: "pl.DataFrame", version: int | None) -> "pl.DataFrame":
    import polars as pl

    return frame.filter(
        pl.col("version") == -1 if version is None else pl.col("version") == version
    )


def _count(frame: "pl.DataFrame", limit_us: float) -> Counts:
    import polars as pl

    if frame.is_empty():
        return Counts()
    requests = frame.group_by("record", maintain_order=True).agg(
        (pl.col("error").first() != "").alias("failed"),
        (pl.col("error").first() == "nan").alias("nan"),
        pl.col("latency_us").first(),
    )
    failed = requests["failed"]
    slow = (requests["latency_us"] > limit_us) if limit_us else failed.clear(len(failed))
    runs = failed.rle().struct.unnest().filter(pl.col("value"))["len"]
    return Counts(
        requests=requests.height,
        errors=int(failed.sum()),
        slow=int(slow.sum() or 0),
        rows=frame.filter(pl.col("error") == "").height,
        longest_run=int(str(runs.max() or 0)),
        nan=int(requests["nan"].sum()),
    )


def _assigned(frame: "pl.DataFrame", release: Release) -> tuple[int, int] | None:
    """Return how many keys were drawn for production and for the candidate.

    A request that the candidate failed was answered by production, and still drawn for the
    candidate. Without an entity each request is its own key.
    """
    import polars as pl

    if release.production is None:
        return None
    failed = frame.filter((pl.col("variant") == "candidate") & (pl.col("error") != ""))
    rescued = failed["live_id"].str.slice(0, RECORD_DIGITS).unique().to_list()
    drawn = (
        frame.unique("record", keep="first", maintain_order=True)
        .filter(pl.col("variant").is_in(["production", "candidate", "fallback"]))
        .with_columns(
            ((pl.col("variant") == "candidate") | pl.col("record").is_in(rescued)).alias("other")
        )
        .filter(~((pl.col("variant") == "candidate") & (pl.col("error") != "")))
        .unique("key", keep="first")
    )
    others = int(drawn["other"].sum())
    return drawn.height - others, others


def _entity(frame: "pl.DataFrame", terms: ModelTerms) -> list[str]:
    return [f"k.{name}" for name in terms.entity if f"k.{name}" in frame.columns]


def _key(entity: list[str]) -> "pl.Expr":
    import polars as pl

    if not entity:
        return pl.col("record")
    named = pl.concat_str([pl.col(name).cast(pl.String) for name in entity], separator="|")
    return pl.coalesce(named, pl.col("record"))


def _agreement(candidate: "pl.DataFrame", frame: "pl.DataFrame") -> Agreement | None:
    import polars as pl

    live = frame.filter(pl.col("variant") == "production").select(
        pl.col("prediction_id").alias("live_id"),
        pl.col("score").alias("live_score"),
        pl.col("decision").alias("live_decision"),
    )
    both = candidate.filter(pl.col("error") == "").join(live, on="live_id")
    if both.is_empty():
        return None
    otherwise = both["decision"].ne_missing(both["live_decision"])
    shares = both.group_by("record").agg(
        pl.col("decision").ne_missing(pl.col("live_decision")).mean().alias("share")
    )
    apart = (both["score"] - both["live_score"]).drop_nulls()
    return Agreement(
        rows=both.height,
        other_decisions=int(otherwise.sum()) / both.height,
        requests=shares.height,
        requests_otherwise=float(shares["share"].sum()),
        score_shift=float(apart.to_numpy().mean()) if len(apart) else None,
        far=int((apart.abs() > FAR).sum()) / len(apart) if len(apart) else None,
    )


def _quality(
    home: Home,
    release: Release,
    frame: "pl.DataFrame",
    now: int,
    terms: ModelTerms,
    output: Output,
) -> tuple[Quality | None, Quality | None]:
    """Compare what outcomes say on the same rows, and between the groups of an A/B phase.

    Only rows count whose outcomes had the time to arrive: early outcomes are not like late ones.
    """
    import polars as pl

    if release.production is None:
        return None, None
    within = terms.sla.outcomes_within
    matured = now - (parse_duration(within) if within else 0)
    old = frame.filter((pl.col("time") <= matured) & (pl.col("error") == ""))
    labelled = with_outcomes(home, old, now).filter(pl.col("outcome").is_not_null())
    candidate, production = _of(labelled, release.candidate), _of(labelled, release.production)
    paired = compare_paired(production, candidate, terms, output)
    if release.phases[release.position].kind is PhaseKind.SHADOW:
        return paired, None
    own = candidate.filter(pl.col("variant") == "candidate")
    return paired, compare_unpaired(production, own, terms, output)
