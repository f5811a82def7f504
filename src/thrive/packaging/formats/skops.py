"""The format `skops`: other scikit-learn estimators, restored from an allow-list of types.

The allow-list is Thrive's (`trusted_types.toml`), never the file's: a file that could name what
it may run could run anything. scikit-learn's compiled trees follow their nodes without checking
bounds, so that a crafted node would crash the process: restored trees are checked first.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files as resources
from typing import Any

import numpy as np

from thrive.domain.errors import UnsafeModel, UsageError
from thrive.packaging.formats.estimator import EstimatorPredictor
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.signature import Signature

NAME = "skops"
FILES = frozenset({"model.skops"})
REQUIRES = ("numpy", "polars", "scikit-learn", "skops")


@cache
def trusted_types() -> frozenset[str]:
    """Return the types that may be restored beyond skops' own defaults."""
    text = resources("thrive.packaging.formats").joinpath("trusted_types.toml").read_text("utf-8")
    return frozenset(name for group in tomllib.loads(text).values() for name in group["types"])


def save(model: Any, signature: Signature) -> dict[str, bytes]:  # noqa: ARG001 - one interface
    """Return the file of an estimator.

    Raises:
        DoesNotFit: it is no estimator of scikit-learn, or holds a type that is not allowed.
    """
    io = _skops()
    if not hasattr(model, "get_params"):
        raise DoesNotFit(f"{type(model).__name__} is no scikit-learn estimator")
    try:
        data: bytes = io.dumps(model)
    except Exception as error:
        raise DoesNotFit(f"skops cannot write it: {error}") from error
    foreign = _foreign(io, data)
    if foreign:
        raise DoesNotFit(f"it holds types that are not allowed: {', '.join(foreign[:5])}")
    return {"model.skops": data}


def load(files: Mapping[str, bytes], signature: Signature) -> EstimatorPredictor:
    """Return the predictor of a verified file, if it holds allowed types only.

    Raises:
        UnsafeModel: it holds other types, or cannot be restored.
    """
    return EstimatorPredictor(signature, restored(files["model.skops"]), NAME)


def restored(data: bytes) -> Any:
    """Return the estimator that skops wrote, if it holds allowed types only.

    Raises:
        UnsafeModel: it holds other types, or cannot be restored.
    """
    io = _skops()
    try:
        foreign = _foreign(io, data)
        if not foreign:
            estimator = io.loads(data, trusted=sorted(trusted_types()))
            _check_trees(estimator, set())
            return estimator
    except (UsageError, UnsafeModel):
        raise
    except Exception as error:
        raise UnsafeModel(
            f"The estimator cannot be restored: {str(error)[:200]}.", "pack the model again"
        ) from error
    raise UnsafeModel(
        f"The estimator holds types that are not allowed: {', '.join(foreign[:5])[:300]}.",
        "use estimators of scikit-learn itself, or have its pickle allowed by name and digest",
    )


def _check_trees(thing: Any, seen: set[int]) -> None:
    """Check every compiled tree that can be reached from a restored object."""
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, complex, type(None))):
        return
    seen.add(id(thing))
    if type(thing).__name__ == "Tree" and hasattr(thing, "children_left"):
        _check_tree(thing)
    elif isinstance(thing, dict):
        for value in thing.values():
            _check_trees(value, seen)
    elif isinstance(thing, (list, tuple, set)):
        for value in thing:
            _check_trees(value, seen)
    elif isinstance(thing, np.ndarray):
        if thing.dtype == object:
            _check_trees(thing.ravel().tolist(), seen)
    elif hasattr(thing, "__dict__"):
        _check_trees(vars(thing), seen)


def _check_tree(tree: Any) -> None:
    """Prove that each node's children stand after it, within the tree, and read a feature."""
    count = int(tree.node_count)
    fine = 0 < count <= int(tree.capacity)
    if fine:
        left, right, place = tree.children_left, tree.children_right, np.arange(count)
        inner = left != -1
        fine = bool(
            ((left > place) & (left < count) & (right > place) & (right < count))[inner].all()
            and (right[~inner] == -1).all()
            and ((tree.feature >= 0) & (tree.feature < tree.n_features))[inner].all()
        )
    if not fine:
        raise UnsafeModel(
            "A tree of the estimator points outside its nodes.", "pack the model again"
        )


def _foreign(io: Any, data: bytes) -> list[str]:
    return sorted(set(io.get_untrusted_types(data=data)) - trusted_types())


def _skops() -> Any:
    try:
        from skops import io
    except ImportError:
        raise UsageError(
            "This model needs scikit-learn and skops, which are not installed.",
            'pip install "thrive[sklearn]"',
        ) from None
    return io
