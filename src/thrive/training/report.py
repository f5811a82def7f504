"""What a pipeline reports while it runs: metrics, and models for the registry."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.identifiers import checked_name
from thrive.engines import channel
from thrive.engines.channel import Channel


def log(metrics: Mapping[str, float] | None = None, /, *, step: int = 0, **values: float) -> None:
    """Log metrics of this run.

    Args:
        metrics: names that are no Python names; others are written as keywords.
        step: the epoch or iteration the values belong to.
        values: numbers; NaN is kept as NaN.

    Raises:
        UsageError: there is no run, or a value is no number.
    """
    link = _present("log metrics")
    points = [
        {"key": key, "value": _number(key, value), "step": step}
        for key, value in {**(metrics or {}), **values}.items()
    ]
    link.send("log", points=points)


def register(
    model: Any,
    name: str,
    *,
    evaluation: Any,
    reference: Any = None,
    trained_on: Any = None,
    label: str = "",
    time: str = "",
    score: str = "",
    features: Sequence[str] | None = None,
    importance: Mapping[str, float] | None = None,
    model_format: str | None = None,
    note: str = "",
) -> int:
    """Register a fitted model as the next version of `name`, and return its number.

    The model is packed in a safe format and proven to answer as it does here. The version keeps
    this run's code, data and metrics, and the contract in force.

    Args:
        model: a fitted scikit-learn estimator or Pipeline, or what another tool trained
            (`OnnxModel`, `read_mlflow`).
        name: the model's name, as in `[model.NAME]` of thrive.toml.
        evaluation: out-of-sample rows that the model never saw, as a Polars, pandas or Arrow table;
            gates judge on them.
        reference: out-of-sample predictions over a longer past; monitoring compares live traffic
            with them. The evaluation rows if not given.
        trained_on: the rows the model was fitted on, of which fingerprints are kept: gates tell
            whether they judge on rows that it has seen.
        label: the column of the truth; the target of thrive.toml if not given.
        time: the column of the event time; a time or UTC microseconds.
        score: the column of predictions, in `reference` and, where it has it, in `evaluation`; else
            the model's own answers to the evaluation rows are taken.
        features: the model's inputs; `feature_names_in_` of the model if not given.
        importance: how much each feature matters, in any unit.
        model_format: the only package format to try.
        note: a few words for people.

    Raises:
        UsageError: there is no run, or a column is missing.
        UnsafeModel: no safe format holds the model.
    """
    from thrive.training.registration import Request, prepare

    link = _present("register a model")
    request = Request(
        name=checked_name(name, "model"),
        label=label,
        time=time,
        score=score,
        features=None if features is None else list(features),
        model_format=model_format,
    )
    prepared = prepare(link, model, request, evaluation, reference, trained_on)
    weights = {key: float(value) for key, value in (importance or {}).items()}
    body = {**msgspec.to_builtins(prepared), "model": name, "importance": weights, "note": note}
    return link.request("register", **body)


def _present(deed: str) -> Channel:
    link = channel.current()
    if link is None:
        raise UsageError(f"Only a run can {deed}, and there is none.", "thrive run FILE")
    return link


def _number(key: str, value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"Metric {key!r} is {value!r}, which is no number.", f"log({key}=0.5)"
        ) from None
    return None if math.isnan(number) else number
