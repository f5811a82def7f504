"""Packing: from a trained model to a package that is proven to answer as the model does."""

import sys
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.clock import machine_now
from thrive.domain.errors import UnsafeModel, UsageError
from thrive.packaging.formats import constant, pickle
from thrive.packaging.formats.boosted import Boosted
from thrive.packaging.formats.constant import Constant
from thrive.packaging.formats.estimator import EstimatorPredictor
from thrive.packaging.formats.predictor import DoesNotFit, Predictor
from thrive.packaging.inference import columns_of, infer_signature
from thrive.packaging.loader import FORMATS, ModelFormat
from thrive.packaging.manifest import MANIFEST_NAME, PackageManifest, describe_files
from thrive.packaging.signature import Columns, Odd, Output, OutputKind, Scalar, Signature

if TYPE_CHECKING:
    import polars as pl

PARITY = 1e-12
PARITY_ROWS = 1000
UNSEEN = "a value never seen"
_NUMBERS_ALONE = ("lightgbm.", "xgboost.", "catboost.")
"""Libraries whose estimators are asked with a matrix, whatever they were fitted with."""


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A packed model: the manifest, and the bytes of the files it names."""

    manifest: PackageManifest
    files: dict[str, bytes]

    @property
    def digest(self) -> str:
        """The package digest."""
        return self.manifest.digest

    @property
    def feature_names_in_(self) -> list[str]:
        """The inputs in order, by the name that fitted estimators have for them."""
        return list(self.manifest.signature.names)

    def unpack_to(self, folder: Path) -> None:
        """Write the manifest and the files into `folder`, which is made if it is not there.

        Raises:
            UsageError: the folder holds something already.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty.", "unpack into a new folder")
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        (folder / MANIFEST_NAME).write_bytes(self.manifest.to_bytes())


def pack(
    model: Any,
    sample: "pl.DataFrame",
    *,
    signature: Signature | None = None,
    positive: Scalar | None = None,
    threshold: float | None = None,
    refused: Collection[str] = (),
    seen: "pl.DataFrame | None" = None,
    model_format: str | None = None,
    requirements: Iterable[str] = (),
    extra: dict[str, Any] | None = None,
    created: int | None = None,
) -> Package:
    """Return the package of a fitted model, in the first format that holds it.

    An open format (`trees`, `linear`) is taken only if it answers `sample`, and copies of it with
    missing and unseen values, within 1e-12 of the model itself; else the next one is tried.
    Pickle is never chosen, only obeyed when named.

    Args:
        model: a fitted scikit-learn estimator or Pipeline, or a `Constant`; a `Package` is
            returned as it is.
        sample: rows of the inputs (no target) as the model was trained on.
        signature: what requests look like; inferred from `sample` if not given.
        positive: the class whose probability is answered, for a model with two classes; the
            second one if not given.
        threshold: from which probability on the answer counts as positive.
        refused: what an inferred signature refuses, of `signature.Odd`. Where missing values are
            not, a field may be missing if the model answers all the same.
        seen: further rows that the model was shown: their values are not refused either.
        model_format: the name of the only format to try.
        requirements: further `name==version` that loading needs.
        extra: facts to keep in the manifest.
        created: UTC microseconds; now if not given.

    Raises:
        UnsafeModel: no safe format holds the model; the message says why.
        UsageError: the sample or the positive class does not fit the model.
    """
    if isinstance(model, Package):
        return model
    if sample.is_empty():
        raise UsageError("The sample has no row.", "give some rows of the training inputs")
    if signature is None:
        output = _output(model, positive, threshold)
        signature = infer_signature(sample, output, refused=refused, seen=seen)
        if Odd.MISSING not in refused:
            signature = _tolerant(model, sample, signature)
    chosen, files, evidence = _export(model, sample, signature, model_format)
    manifest = PackageManifest(
        model_format=chosen.NAME,
        files=describe_files(files),
        signature=signature,
        requirements=tuple(sorted({*_versions(chosen.REQUIRES), *requirements})),
        frameworks=_frameworks(model),
        created=machine_now() if created is None else created,
        extra={**(extra or {}), "export": evidence},
    )
    return Package(manifest=manifest, files=files)


def _tolerant(model: Any, sample: "pl.DataFrame", signature: Signature) -> Signature:
    """Return the signature with every field nullable whose missing values the model answers.

    A feed that goes missing must not stop answers that the model can give.
    """
    few = sample.head(8)
    fields = [
        field
        if field.nullable or not _answers_missing(model, few, signature, field.name)
        else msgspec.structs.replace(field, nullable=True)
        for field in signature.inputs
    ]
    return msgspec.structs.replace(signature, inputs=tuple(fields))


def _answers_missing(model: Any, rows: "pl.DataFrame", signature: Signature, column: str) -> bool:
    import polars as pl

    missing = rows.with_columns(pl.lit(None, rows.schema[column]).alias(column))
    if isinstance(model, Constant):
        return True
    try:
        answers = _reference(model, missing, signature)
    except (ValueError, TypeError, AttributeError):
        return False
    return answers.dtype.kind not in "fc" or bool(np.isfinite(answers).all())


def _output(model: Any, positive: Scalar | None, threshold: float | None) -> Output:
    """Return the answer that a model naturally gives."""
    if isinstance(model, Constant):
        kind = OutputKind.NUMBER if positive is None else OutputKind.PROBABILITY
        return Output(kind=kind, positive=positive, threshold=threshold)
    classes: tuple[Scalar, ...] = tuple(np.asarray(getattr(model, "classes_", ())).tolist())
    if not classes:
        return Output(kind=OutputKind.NUMBER)
    if not hasattr(model, "predict_proba"):
        return Output(kind=OutputKind.CLASS, classes=classes)
    if len(classes) > 2:
        return Output(kind=OutputKind.VECTOR, classes=classes)
    positive = classes[len(classes) - 1] if positive is None else positive
    if positive not in classes:
        raise UsageError(f"{positive!r} is no class of the model.", f"its classes are {classes}")
    return Output(
        kind=OutputKind.PROBABILITY, classes=classes, positive=positive, threshold=threshold
    )


def _export(
    model: Any, sample: "pl.DataFrame", signature: Signature, only: str | None
) -> tuple[ModelFormat, dict[str, bytes], dict[str, Any]]:
    """Return the first format that holds the model, its files, and the evidence of parity."""
    candidates = _candidates(model, only)
    trials = [] if isinstance(model, Constant) else _trials(model, sample, signature)
    tried: dict[str, str] = {}
    for name, candidate in candidates.items():
        try:
            files = candidate.save(model, signature)
            if candidate is pickle:
                return candidate, files, {"tried": tried}
            evidence = _parity(candidate.load(files, signature), trials)
        except (DoesNotFit, UnsafeModel) as reason:
            tried[name] = reason.what if isinstance(reason, UnsafeModel) else str(reason)
        else:
            return candidate, files, {**evidence, "tried": tried}
    reasons = "; ".join(f"{name}: {reason}" for name, reason in tried.items())
    raise UnsafeModel(
        f"No safe format holds this {type(model).__name__} ({reasons}).",
        "use another estimator, or name model_format='pickle' and have it allowed by digest",
    )


def _candidates(model: Any, only: str | None) -> dict[str, ModelFormat]:
    if only is not None:
        if only not in FORMATS:
            raise UsageError(f"{only!r} is no model format.", f"choose of {', '.join(FORMATS)}")
        return {only: FORMATS[only]}
    if isinstance(model, Constant):
        return {constant.NAME: constant}
    unasked = {constant.NAME, pickle.NAME}
    return {name: found for name, found in FORMATS.items() if name not in unasked}


def _trials(
    model: Any, sample: "pl.DataFrame", signature: Signature
) -> list[tuple[Columns, NDArray[Any]]]:
    """Return rows to compare with, and the model's own answers to them.

    Rows that the model itself refuses, such as missing values it was not made for, are left out.
    """
    rows = sample.gather_every(max(1, -(-sample.height // PARITY_ROWS)))
    try:
        trials = [(columns_of(signature, rows), _reference(model, rows, signature))]
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The model does not answer the sample: {str(error)[:200]}",
            "give a fitted model, and the inputs it was trained on",
        ) from error
    for frame in _strained(rows, signature):
        try:
            trials.append((columns_of(signature, frame), _reference(model, frame, signature)))
        except (ValueError, TypeError):
            continue
    return trials


def _parity(
    predictor: Predictor, trials: list[tuple[Columns, NDArray[Any]]]
) -> dict[str, int | float]:
    """Return how many rows were compared, and the largest relative difference found.

    Raises:
        DoesNotFit: the predictor answers otherwise than the model.
    """
    worst = [_difference(predictor, columns, expected) for columns, expected in trials]
    compared = sum(len(expected) for _, expected in trials)
    return {"parity_rows": compared, "parity_difference": max(worst, default=0.0)}


def _strained(rows: "pl.DataFrame", signature: Signature) -> Iterable["pl.DataFrame"]:
    """Yield rows with, in each column in turn, no value, and with categories never seen."""
    import polars as pl

    few = rows.head(64)
    for field in signature.inputs:
        yield few.with_columns(pl.lit(None, few.schema[field.name]).alias(field.name))
        if few.schema[field.name].base_type() in {pl.String, pl.Categorical}:
            unseen = pl.lit(UNSEEN).cast(few.schema[field.name])
            yield few.with_columns(unseen.alias(field.name))


def _reference(model: Any, frame: "pl.DataFrame", signature: Signature) -> NDArray[Any]:
    """Return the model's own answer to a frame, in the way it was trained."""
    if not hasattr(model, "feature_names_in_") or _takes_a_matrix(model):
        columns = columns_of(signature, frame)
        trained = EstimatorPredictor(signature, model, "trained", by_name=False)
        return trained.predict(columns)
    output = signature.output
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # encoders warn of the unseen values we send on purpose
        if output.kind is OutputKind.PROBABILITY:
            place = np.asarray(model.classes_).tolist().index(output.positive)
            return np.asarray(model.predict_proba(frame))[:, place]
        name = "predict_proba" if output.kind is OutputKind.VECTOR else "predict"
        return np.asarray(getattr(model, name)(frame))


def _takes_a_matrix(model: Any) -> bool:
    return isinstance(model, Boosted) or type(model).__module__.startswith(_NUMBERS_ALONE)


def _difference(predictor: Predictor, columns: Columns, expected: NDArray[Any]) -> float:
    try:
        found = predictor.predict(columns)
    except (ValueError, TypeError, UsageError) as error:
        raise DoesNotFit(f"it does not answer what the model answers: {error}") from error
    if expected.dtype.kind not in "fc":
        if not np.array_equal(found, expected):
            raise DoesNotFit("it answers other classes than the model")
        return 0.0
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    size = np.maximum(1.0, np.abs(expected))
    with np.errstate(invalid="ignore"):  # of infinities, which are the same or fail
        worst = float(np.max(np.where(same, 0.0, np.abs(found - expected) / size)))
    if not worst <= PARITY:
        raise DoesNotFit(f"its answers differ from the model's by {worst:.2g}")
    return worst


def _versions(libraries: Iterable[str]) -> list[str]:
    """Return `name==version` of each library, by the name it was installed under."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    found: list[str] = []
    for library in libraries:
        try:
            found.append(f"{library}=={version(library)}")
        except PackageNotFoundError:  # e.g. xgboost, installed as xgboost-cpu
            name = packages_distributions()[library][0]
            found.append(f"{name}=={version(name)}")
    return found


def _frameworks(model: Any) -> dict[str, str]:
    """Return the versions of Python, NumPy and the library that the model's class is from."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "numpy": np.__version__}
    root = type(model).__module__.partition(".")[0]
    version = getattr(sys.modules.get(root), "__version__", None)
    if version is not None and root != "thrive":
        found["scikit-learn" if root == "sklearn" else root] = str(version)
    return found
