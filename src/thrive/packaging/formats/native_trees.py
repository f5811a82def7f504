"""Whether the trees in another library's file are trees, before that library reads the file.

LightGBM and XGBoost trust the places that a file names: a child or a feature that does not exist
makes them read foreign memory, and a broken line ends the whole process. So the form is checked
here first, and a file with anything else in it is refused.
"""

import re
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel
from thrive.packaging.formats.arrays import distinct

END_OF_TREES = "end of trees\n"
_INTEGERS = ("split_feature", "decision_type", "left_child", "right_child")
_PER_SPLIT = (*_INTEGERS, "split_gain", "threshold", "internal_value", "internal_weight")
_PER_LEAF = ("leaf_value", "leaf_weight")
_COUNTS = ("internal_count", "leaf_count")
_SINGLE = ("num_leaves", "num_cat", "is_linear", "shrinkage")
_PARTS = {*_PER_SPLIT, *_PER_LEAF, *_COUNTS, *_SINGLE}
_HEADER = re.compile(r"tree\nversion=v[34]\n(?:[a-z_]+(?:=[^\n]*)?\n)+\n")


class _XGBoostTree(msgspec.Struct):
    left_children: list[int]
    right_children: list[int]
    parents: list[int]
    split_indices: list[int]
    split_type: list[Literal[0]]  # 1 would be a set of categories
    split_conditions: list[float]
    default_left: list[int]
    base_weights: list[float]
    loss_changes: list[float]
    sum_hessian: list[float]
    tree_param: dict[str, str]


class _XGBoostModel(msgspec.Struct):
    trees: list[_XGBoostTree]
    tree_info: list[int]


class _XGBoostTrees(msgspec.Struct):
    name: Literal["gbtree"]
    model: _XGBoostModel


class _XGBoostLearner(msgspec.Struct):
    gradient_booster: _XGBoostTrees


class _XGBoostFile(msgspec.Struct):
    learner: _XGBoostLearner


def check_xgboost(data: bytes, features: int) -> None:
    """Refuse what is no XGBoost JSON of whole trees over `features` columns.

    Raises:
        UnsafeModel: it is none; the message says why.
    """
    try:
        model = msgspec.json.decode(data, type=_XGBoostFile).learner.gradient_booster.model
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unsafe(str(error)) from None
    if len(model.tree_info) != len(model.trees) or not model.trees:
        raise _unsafe("it has another number of trees")
    for tree in model.trees:
        nodes = len(tree.left_children)
        columns = [value for value in msgspec.structs.asdict(tree).values() if type(value) is list]
        if {len(column) for column in columns} != {nodes} or tree.tree_param.get(
            "num_nodes"
        ) != str(nodes):
            raise _unsafe("a tree is not whole")
        left, right = np.array(tree.left_children), np.array(tree.right_children)
        splits = left != -1
        _check_places(np.array(tree.split_indices)[splits], features)
        if (splits != (right != -1)).any():
            raise _unsafe("a node has one child")
        _check_children(np.concatenate([left[splits], right[splits]]), nodes, leaves=0)


def check_lightgbm(text: str, features: int) -> None:
    """Refuse what is no LightGBM text of whole trees over `features` columns.

    Raises:
        UnsafeModel: it is none; the message says why.
    """
    header = _HEADER.match(text)
    end = text.find(END_OF_TREES)
    if header is None or end < 0:
        raise _unsafe("it does not begin, or its trees do not end, as LightGBM writes them")
    known = _assignments(header.group())
    sizes = _numbers(known.get("tree_sizes", "")).astype(np.int64)
    place = header.end()
    if not sizes.size or sizes.min() <= 0 or place + int(sizes.sum()) != end:
        raise _unsafe("its trees have other sizes than it says")
    if known.get("max_feature_idx") != str(features - 1):
        raise _unsafe("it reads another number of features")
    for number, size in enumerate(sizes.tolist()):
        _check_lightgbm_tree(text[place : place + size], number, features)
        place += size


def _check_lightgbm_tree(block: str, number: int, features: int) -> None:
    first, _, rest = block.partition("\n")
    parts = _assignments(rest)
    if first != f"Tree={number}" or set(parts) - _PARTS:
        raise _unsafe(f"tree {number} is no tree of plain splits")
    found = {name: _numbers(text) for name, text in parts.items()}
    single = [found.get(name, np.zeros(0)) for name in _SINGLE]
    if any(value.size != 1 for value in single) or single[1][0] != 0 or single[2][0] != 0:
        raise _unsafe(f"tree {number} splits by sets of categories, or is linear")
    leaves = int(single[0][0])
    for name in (*_PER_SPLIT, *_PER_LEAF, *_COUNTS):
        size = found.get(name, np.zeros(0)).size
        may_lack = leaves == 1 or name in {"leaf_weight", *_COUNTS}
        wanted = leaves if name.startswith("leaf") else leaves - 1
        if size != wanted and not (may_lack and size == 0):
            raise _unsafe(f"tree {number} is not whole")
    if leaves < 1 or found["leaf_value"].size != leaves:
        raise _unsafe(f"tree {number} is not whole")
    if leaves > 1:
        _check_places(found["split_feature"], features)
        children = np.concatenate([found["left_child"], found["right_child"]])
        _check_children(children, leaves - 1, leaves=leaves)


def _assignments(text: str) -> dict[str, str]:
    parted = (line.partition("=") for line in text.split("\n") if line)
    return {name: value for name, _, value in parted}


def _check_places(places: NDArray[Any], features: int) -> None:
    if places.size and not ((places >= 0) & (places < features)).all():
        raise _unsafe("a tree splits by a feature that is not there")


def _check_children(children: NDArray[Any], nodes: int, *, leaves: int) -> None:
    """Refuse children that are not there, and any that has two parents: a walk could go round."""
    there = (children != 0) & (children >= -leaves) & (children < nodes)
    if not there.all() or distinct(children).size != children.size:
        raise _unsafe("the nodes of a tree do not form a tree")


def _numbers(text: str) -> NDArray[np.float64]:
    try:
        found = np.array(text.split(), np.float64)
    except ValueError:
        raise _unsafe(f"{text[:40]!r} are no numbers") from None
    if not np.isfinite(found).all():
        raise _unsafe("a number of it is not finite")
    return found


def _unsafe(reason: str) -> UnsafeModel:
    return UnsafeModel(f"The trees of the model cannot be used: {reason}.", "pack it again")
