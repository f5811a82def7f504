"""Reads fitted scikit-learn preparations as data, by exact class name, without importing it.

Understood: Pipeline, ColumnTransformer, OrdinalEncoder, OneHotEncoder, StandardScaler,
SimpleImputer, identity FunctionTransformer and `passthrough`, in any nesting whose every output
column depends on one input column. Anything else raises `DoesNotFit`, never guesses.
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.formats.preparation import Feature, Lookup, Number, Value, code
from thrive.packaging.signature import Scalar

Features = tuple[Feature, ...]


def class_name(thing: Any) -> str:
    """Return the class name of an object of scikit-learn itself, else an empty text."""
    kind = type(thing)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else ""


def classes(estimator: Any) -> tuple[Scalar, ...]:
    """Return the class labels of a classifier as plain values; empty for a regressor."""
    return tuple(np.asarray(getattr(estimator, "classes_", ())).tolist())


def read_features(model: Any, names: tuple[str, ...]) -> tuple[Features, Any]:
    """Return what the last estimator of `model` sees of the inputs, and that estimator.

    The estimator may still encode them itself: see `finished`.

    Raises:
        DoesNotFit: a step before it is not understood, or the inputs differ.
    """
    fitted = tuple(str(name) for name in getattr(model, "feature_names_in_", names))
    if set(fitted) - set(names) or len(fitted) != getattr(model, "n_features_in_", len(fitted)):
        raise DoesNotFit("it was fitted on other columns than the signature has")
    features: Features = tuple(Number(source=name) for name in fitted)
    if class_name(model) != "Pipeline":
        return features, model
    for _, step in model.steps[:-1]:
        features = transform(step, features)
    return features, model.steps[-1][1]


def finished(features: Features) -> Features:
    """Return features that are numbers now.

    Raises:
        DoesNotFit: one is still a text.
    """
    if any(isinstance(f, Number) and isinstance(f.fill, str) for f in features):
        raise DoesNotFit("a text column reaches the model without an encoder")
    return features


def transform(step: Any, features: Features) -> Features:
    """Return the features after a fitted transformer.

    Raises:
        DoesNotFit: the transformer, or one of its options, is not understood.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return features
    reader = _READERS.get(class_name(step))
    if reader is None:
        raise DoesNotFit(f"{type(step).__name__} is no preparation that can be written as data")
    return reader(step, features)


def _pipeline(step: Any, features: Features) -> Features:
    for _, inner in step.steps:
        features = transform(inner, features)
    return features


def _column_transformer(step: Any, features: Features) -> Features:
    known = [str(name) for name in getattr(step, "feature_names_in_", ())]
    placed: dict[int, Feature] = {}
    for name, inner, columns in step.transformers_:
        indices = _indices(columns, known, len(features))
        if not indices or (isinstance(inner, str) and inner == "drop"):
            continue
        part = tuple(features[index] for index in indices)
        where = step.output_indices_[name]
        made = transform(inner, part)
        placed.update(zip(range(where.start, where.stop), made, strict=True))
    if set(placed) != set(range(len(placed))):
        raise DoesNotFit("the columns of a ColumnTransformer could not be followed")
    return tuple(placed[index] for index in range(len(placed)))


def _indices(columns: Any, known: list[str], count: int) -> list[int]:
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            raise DoesNotFit("columns are given as a slice of names")
        return list(range(count))[columns]
    listed = np.atleast_1d(np.asarray(columns))
    if listed.dtype == bool:
        return np.flatnonzero(listed).tolist()
    return [known.index(c) if isinstance(c, str) else int(c) for c in listed.tolist()]


def _ordinal(step: Any, features: Features) -> Features:
    unknown = step.handle_unknown
    other = None if unknown == "error" else code(float(step.unknown_value))
    _refuse_infrequent(step)
    made: list[Feature] = []
    for feature, categories in zip(features, step.categories_, strict=True):
        codes: dict[Any, float] = {c: float(i) for i, c in enumerate(categories.tolist())}
        nan = [c for c in codes if isinstance(c, float) and math.isnan(c)]
        for category in nan:
            codes[category] = float(step.encoded_missing_value)
        made.append(_encode(feature, codes, other, refuse=unknown == "error"))
    return tuple(made)


def _one_hot(step: Any, features: Features) -> Features:
    _refuse_infrequent(step)
    made: list[Feature] = []
    dropped = [None] * len(features) if step.drop_idx_ is None else step.drop_idx_
    for feature, categories, drop in zip(features, step.categories_, dropped, strict=True):
        listed = categories.tolist()
        for index in range(len(listed)):
            if drop is None or index != drop:
                codes = {c: float(i == index) for i, c in enumerate(listed)}
                refuse = step.handle_unknown == "error"
                made.append(_encode(feature, codes, 0.0, refuse=refuse))
    return tuple(made)


def _refuse_infrequent(step: Any) -> None:
    if step.min_frequency is not None or step.max_categories is not None:
        raise DoesNotFit(f"{type(step).__name__} groups infrequent categories")


def _encode(
    feature: Feature, codes: dict[Any, float], other: float | None, *, refuse: bool
) -> Lookup:
    """Return `feature` encoded: of a raw column, or of one that is encoded already."""
    nan_code = next((v for k, v in codes.items() if isinstance(k, float) and math.isnan(k)), other)
    missing = codes.get(None, nan_code)
    known = {_value(k): code(v) for k, v in codes.items() if not _is_missing(k)}
    missing = None if missing is None else code(missing)
    if isinstance(feature, Lookup):
        return _encode_again(feature, known, other, nan_code, refuse)
    if feature.center != 0.0 or feature.scale != 1.0:
        raise DoesNotFit("a scaled column is encoded")
    if feature.fill is not None:
        missing = known.get(feature.fill, other)
    return Lookup(
        source=feature.source,
        values=tuple(known),
        codes=tuple(known.values()),
        other=other,
        missing=missing,
        refuse_other=refuse,
    )


def _encode_again(
    feature: Lookup,
    known: dict[Value, float | None],
    other: float | None,
    nan_code: float | None,
    refuse: bool,
) -> Lookup:
    def second(first: float | None) -> float | None:
        if first is None:
            return None if nan_code is None else code(nan_code)
        return known.get(first, other)

    return msgspec.structs.replace(
        feature,
        codes=tuple(second(first) for first in feature.codes),
        other=second(feature.other),
        missing=second(feature.missing),
        refuse_other=feature.refuse_other or (refuse and feature.other not in known),
    )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _value(value: Any) -> Value:
    if isinstance(value, (str, bool, int, float)):
        return value if isinstance(value, str) else float(value)
    raise DoesNotFit(f"a category is a {type(value).__name__}")


def _scaler(step: Any, features: Features) -> Features:
    centers = [0.0] * len(features) if step.mean_ is None else step.mean_.tolist()
    scales = [1.0] * len(features) if step.scale_ is None else step.scale_.tolist()
    return tuple(map(_scale, features, centers, scales))


def _scale(feature: Feature, center: float, scale: float) -> Feature:
    if isinstance(feature, Lookup):
        return _map_codes(feature, lambda value: (value - center) / scale)
    if feature.center != 0.0 or feature.scale != 1.0:
        raise DoesNotFit("a column is scaled twice")
    return msgspec.structs.replace(feature, center=center, scale=scale)


def _map_codes(feature: Lookup, change: Callable[[float], float]) -> Lookup:
    def changed(value: float | None) -> float | None:
        return None if value is None else change(value)

    return msgspec.structs.replace(
        feature,
        codes=tuple(changed(value) for value in feature.codes),
        other=changed(feature.other),
        missing=changed(feature.missing),
    )


def _imputer(step: Any, features: Features) -> Features:
    if step.add_indicator or not _is_missing(step.missing_values):
        raise DoesNotFit("an imputer marks missing values, or fills other ones")
    fills: list[Any] = step.statistics_.tolist()
    if any(_is_missing(fill) for fill in fills):
        raise DoesNotFit("an imputer dropped or kept an empty column")
    return tuple(map(_fill, features, fills))


def _fill(feature: Feature, value: Any) -> Feature:
    if isinstance(feature, Number):
        if feature.fill is not None:
            return feature
        scaled = feature.center != 0.0 or feature.scale != 1.0
        if scaled:
            raise DoesNotFit("a scaled column is filled")
        return msgspec.structs.replace(feature, fill=_value(value))
    filled = float(value)
    return msgspec.structs.replace(
        feature,
        codes=tuple(filled if c is None else c for c in feature.codes),
        other=filled if feature.other is None else feature.other,
        missing=filled if feature.missing is None else feature.missing,
    )


def _function(step: Any, features: Features) -> Features:
    """Accept the identity, and the input check of histogram gradient boosting."""
    wrapped = getattr(step.func, "func", None)
    checks = getattr(wrapped, "__name__", "") == "check_array"
    if step.func is None or (checks and wrapped.__module__.startswith("sklearn.")):
        return features
    raise DoesNotFit("a FunctionTransformer runs code")


_READERS: dict[str, Callable[[Any, Features], Features]] = {
    "Pipeline": _pipeline,
    "ColumnTransformer": _column_transformer,
    "OrdinalEncoder": _ordinal,
    "OneHotEncoder": _one_hot,
    "StandardScaler": _scaler,
    "SimpleImputer": _imputer,
    "FunctionTransformer": _function,
}
