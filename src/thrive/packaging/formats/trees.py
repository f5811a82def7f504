"""The format `trees`: gradient-boosted trees as open arrays, answered without scikit-learn.

`trees.npz` holds one entry a node (see `_SHAPES`), trees one after the other; `trees.json` holds
the preparation of the columns, the baseline and the link from the sum of leaves to the answer.
It is written from a fitted HistGradientBoostingClassifier or -Regressor, alone or at the end of a
Pipeline whose encoders `sklearn_reader` understands.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel
from thrive.packaging.formats import links, sklearn_reader
from thrive.packaging.formats.arrays import distinct, pack_arrays, unpack_arrays
from thrive.packaging.formats.leaf_tables import (
    MAX_TABLE_BYTES,
    LeafTables,
    Trees,
    table_bytes,
)
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.formats.preparation import Feature, Lookup, Number, check_features
from thrive.packaging.signature import Scalar, Signature

NAME = "trees"
FILES = frozenset({"trees.npz", "trees.json"})
REQUIRES = ("numpy",)
_SHAPES = {
    "tree_size": ("<i8", 1),  # nodes of each tree
    "tree_output": ("<i4", 1),  # which output each tree adds to
    "feature": ("<i4", 1),
    "threshold": ("<f8", 1),  # left if value <= threshold
    "left": ("<i4", 1),  # place within the tree, above the parent's own; -1 in a leaf
    "right": ("<i4", 1),
    "missing_left": ("|u1", 1),
    "value": ("<f8", 1),  # of a leaf
    "category_set": ("<i4", 1),  # row of `sets`: left if the code's bit is set; -1: by threshold
    "sets": ("<u4", 2),  # 8 words: the codes 0 to 255
}
_MODELS = {
    "HistGradientBoostingClassifier": "classifier",
    "HistGradientBoostingRegressor": "regressor",
}


class TreesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `trees.json`."""

    format: Literal[1] = 1
    features: tuple[Feature, ...]
    baseline: tuple[float, ...]
    link: links.Link
    classes: tuple[Scalar, ...] = ()


def save(model: Any, signature: Signature) -> dict[str, bytes]:
    """Return the files of a fitted histogram gradient boosting model.

    Raises:
        DoesNotFit: it is another model, or stands behind a preparation that is not plain data.
    """
    features, estimator = sklearn_reader.read_features(model, signature.names)
    kind = _MODELS.get(sklearn_reader.class_name(estimator))
    if kind is None:
        raise DoesNotFit(f"{type(estimator).__name__} has no boosted trees")
    if estimator._preprocessor is not None:  # noqa: SLF001 - the only place the encoder is kept
        features = sklearn_reader.transform(estimator._preprocessor, features)  # noqa: SLF001 - same: fitted state has no public door
    content = TreesFile(
        features=sklearn_reader.finished(features),
        baseline=tuple(np.ravel(estimator._baseline_prediction).tolist()),  # noqa: SLF001 - same: fitted state has no public door
        link=_link(estimator, kind),
        classes=sklearn_reader.classes(estimator),
    )
    arrays = _arrays(estimator._predictors)  # noqa: SLF001 - same: fitted state has no public door
    size = table_bytes(_trees(arrays), features)
    if size > MAX_TABLE_BYTES:
        raise DoesNotFit(f"its trees need a table of {size >> 20} MB")
    return {
        "trees.npz": pack_arrays(arrays, _SHAPES),
        "trees.json": msgspec.json.encode(content),
    }


def _link(estimator: Any, kind: str) -> links.Link:
    if kind == "classifier":
        return "logit" if estimator.n_trees_per_iteration_ == 1 else "softmax"
    if estimator.loss in {"poisson", "gamma"}:
        return "log"
    if estimator.loss in {"squared_error", "absolute_error", "quantile"}:
        return "identity"
    raise DoesNotFit(f"the loss {estimator.loss!r} has no known link")


def _arrays(predictors: list[list[Any]]) -> dict[str, NDArray[Any]]:
    """Join the nodes of scikit-learn's predictors, one list of outputs an iteration."""
    flat = [predictor for iteration in predictors for predictor in iteration]
    nodes: NDArray[Any] = np.concatenate([predictor.nodes for predictor in flat])
    sizes = np.array([len(predictor.nodes) for predictor in flat])
    counts = [len(predictor.raw_left_cat_bitsets) for predictor in flat]
    first_set = np.repeat(np.concatenate([[0], np.cumsum(counts)])[:-1], sizes).astype(np.int64)
    leaf = nodes["is_leaf"].astype(bool)
    by_set = nodes["is_categorical"].astype(bool) & ~leaf
    inner = ~leaf
    return {
        "tree_size": sizes,
        "tree_output": np.concatenate([np.arange(len(i)) for i in predictors]),
        "feature": np.where(inner, nodes["feature_idx"], 0),
        "threshold": np.where(inner & ~by_set, nodes["num_threshold"], 0.0),
        "left": np.where(inner, nodes["left"].astype(np.int64), -1),
        "right": np.where(inner, nodes["right"].astype(np.int64), -1),
        "missing_left": nodes["missing_go_to_left"] * inner,
        "value": np.where(leaf, nodes["value"], 0.0),
        "category_set": np.where(by_set, nodes["bitset_idx"] + first_set, -1),
        "sets": np.concatenate([p.raw_left_cat_bitsets.reshape(-1, 8) for p in flat]),
    }


def load(files: Mapping[str, bytes], signature: Signature) -> "TreesPredictor":
    """Return the predictor of verified files; their content is checked node by node.

    Raises:
        UnsafeModel: the files are not a whole, sane model.
    """
    try:
        content = msgspec.json.decode(files["trees.json"], type=TreesFile)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unsafe(f"trees.json: {error}") from None
    check_features(content.features, signature.names)
    arrays = unpack_arrays(files["trees.npz"], _SHAPES)
    _check(arrays, content)
    links.check(content.link, len(content.baseline), content.classes, signature.output)
    trees = _trees(arrays)
    if table_bytes(trees, content.features) > MAX_TABLE_BYTES:
        raise _unsafe("its tables would not fit")
    return TreesPredictor(signature, content, trees)


def _trees(arrays: dict[str, NDArray[Any]]) -> Trees:
    sizes = arrays["tree_size"].astype(np.intp)
    roots = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.intp)
    tree = np.repeat(np.arange(len(sizes)), sizes)
    shift = roots[tree]
    leaf = arrays["left"] < 0
    return Trees(
        feature=arrays["feature"].astype(np.intp),
        threshold=arrays["threshold"],
        left=np.where(leaf, -1, arrays["left"] + shift),
        right=np.where(leaf, -1, arrays["right"] + shift),
        missing_left=arrays["missing_left"].astype(bool),
        value=arrays["value"],
        category_set=arrays["category_set"].astype(np.intp),
        sets=arrays["sets"],
        tree=tree,
        roots=roots,
        output=arrays["tree_output"].astype(np.intp),
    )


def _check(arrays: dict[str, NDArray[Any]], content: TreesFile) -> None:
    """Refuse nodes that point outside, in circles, or at nothing."""
    sizes = arrays["tree_size"]
    count = len(arrays["left"])
    per_node = [name for name in _SHAPES if name not in {"tree_size", "tree_output", "sets"}]
    if any(len(arrays[name]) != count for name in per_node):
        raise _unsafe("the node arrays have different lengths")
    whole = len(sizes) > 0 and bool(((sizes >= 1) & (sizes <= count)).all())
    if not whole or sum(sizes.tolist()) != count or len(arrays["tree_output"]) != len(sizes):
        raise _unsafe("the trees do not add up to the nodes")
    outputs = arrays["tree_output"]
    if outputs.min() < 0 or outputs.max() >= len(content.baseline):
        raise _unsafe("a tree adds to an output that does not exist")
    _check_shape(arrays, sizes)
    _check_decisions(arrays, content.features)
    if not (np.isfinite(arrays["value"]).all() and np.isfinite(content.baseline).all()):
        raise _unsafe("a leaf holds no finite value")


def _check_shape(arrays: dict[str, NDArray[Any]], sizes: NDArray[np.int64]) -> None:
    """Prove that each tree is one: children above their parent, each node with one parent."""
    left, right = arrays["left"].astype(np.int64), arrays["right"].astype(np.int64)
    own_size = np.repeat(sizes, sizes)
    roots = np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.arange(len(left)) - roots
    leaf = left < 0
    fine = np.where(
        leaf,
        (left == -1) & (right == -1),
        (left > place) & (right > place) & (left < own_size) & (right < own_size),
    )
    if not fine.all():
        raise _unsafe("a node points at no node, or back")
    inner = ~leaf
    children = np.concatenate([(left + roots)[inner], (right + roots)[inner]])
    parents = np.bincount(children, minlength=len(left))
    if not (parents == (place > 0)).all():
        raise _unsafe("the nodes of a tree are not connected as a tree")


def _check_decisions(arrays: dict[str, NDArray[Any]], features: tuple[Feature, ...]) -> None:
    inner = arrays["left"] >= 0
    feature = arrays["feature"][inner]
    chosen = arrays["category_set"][inner]
    if arrays["sets"].shape[1] != 8:
        raise _unsafe("the category sets do not have 8 words")
    if ((feature < 0) | (feature >= len(features))).any():
        raise _unsafe("a node reads a feature that does not exist")
    if ((chosen < -1) | (chosen >= len(arrays["sets"]))).any():
        raise _unsafe("a node uses a category set that does not exist")
    if np.isnan(arrays["threshold"][inner]).any():
        raise _unsafe("a threshold is no number")
    for number in distinct(feature[chosen >= 0]).tolist():
        if not _is_categorical(features[number]):
            raise _unsafe("a node asks for a category of a feature that has none")


def _is_categorical(feature: Feature) -> bool:
    if isinstance(feature, Number):
        return False
    codes = (*feature.codes, feature.other, feature.missing)
    return all(code is None or (code.is_integer() and 0 <= code <= 255) for code in codes)


def _unsafe(reason: str) -> UnsafeModel:
    return UnsafeModel(f"The trees of the model cannot be used: {reason}.", "pack the model again")


class TreesPredictor:
    """Answers of a package in the format `trees`."""

    def __init__(self, signature: Signature, content: TreesFile, trees: Trees) -> None:
        self.signature = signature
        self._baseline = np.array(content.baseline)
        self._answer = links.answer(content.link, content.classes, signature.output)
        self._tables = LeafTables(trees, content.features, len(content.baseline))
        self._place_of = {name: place for place, name in enumerate(signature.names)}
        self._size = {
            "trees": len(trees.roots),
            "nodes": len(trees.left),
            "features": len(content.features),
            "lookups": sum(isinstance(f, Lookup) for f in content.features),
        }

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return one answer a row; see `Predictor.predict`."""
        return self._answer(self._tables.raw(columns) + self._baseline)

    def predict_rows(self, rows: Sequence[tuple[Any, ...]]) -> NDArray[Any]:
        """Return one answer a row of values in the signature's order, None for a missing one."""
        return self._answer(self._tables.raw_rows(rows, self._place_of) + self._baseline)

    def describe(self) -> dict[str, Any]:
        """Return the format and the numbers of trees, nodes and features."""
        return {"format": NAME, **self._size}
