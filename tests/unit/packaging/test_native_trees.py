"""The form of another library's trees is checked before that library reads them."""

import copy
import json

import pytest

from thrive.domain.errors import UnsafeModel
from thrive.packaging.formats.native_trees import check_lightgbm, check_xgboost

TREE = """Tree=0
num_leaves=3
num_cat=0
split_feature=1 0
split_gain=2.5 1
threshold=0.5 3.5
decision_type=2 10
left_child=1 -1
right_child=-2 -3
leaf_value=0.1 -0.2 0.3
leaf_weight=1 1 1
leaf_count=5 6 7
internal_value=0 0.5
internal_weight=18 12
internal_count=18 12
is_linear=0
shrinkage=0.1


"""
ROOT_ALONE = "Tree=1\nnum_leaves=1\nnum_cat=0\nleaf_value=0.5\nis_linear=0\nshrinkage=1\n\n\n"


def lightgbm(*trees, sizes=None):
    sizes = sizes or " ".join(str(len(tree)) for tree in trees)
    head = f"tree\nversion=v4\nnum_class=1\nmax_feature_idx=1\ntree_sizes={sizes}\n\n"
    return head + "".join(trees) + "end of trees\n\nparameters:\nend of parameters\n"


def test_whole_trees_of_lightgbm_are_taken():
    check_lightgbm(lightgbm(TREE, ROOT_ALONE), 2)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("split_feature=1 0", "split_feature=1 2", "a feature that is not there"),
        ("split_feature=1 0", "split_feature=1 -1", "a feature that is not there"),
        ("left_child=1 -1", "left_child=0 -1", "do not form a tree"),
        ("left_child=1 -1", "left_child=1 1", "do not form a tree"),
        ("right_child=-2 -3", "right_child=-2 -4", "do not form a tree"),
        ("right_child=-2 -3", "right_child=-2 9", "do not form a tree"),
        ("threshold=0.5 3.5", "threshold=0.5", "not whole"),
        ("threshold=0.5 3.5", "threshold=0.5 nan", "not finite"),
        ("threshold=0.5 3.5", "threshold=0.5 x", "no numbers"),
        ("leaf_value=0.1 -0.2 0.3", "leaf_value=0.1 -0.2", "not whole"),
        ("num_leaves=3", "num_leaves=300000000", "not whole"),
        ("num_cat=0", "num_cat=1", "sets of categories"),
        ("is_linear=0", "is_linear=1", "linear"),
        ("is_linear=0", "cat_threshold=0", "no tree of plain splits"),
    ],
)
def test_a_broken_tree_of_lightgbm_is_refused(old, new, why):
    assert old in TREE
    with pytest.raises(UnsafeModel, match=why):
        check_lightgbm(lightgbm(TREE.replace(old, new)), 2)


def test_a_file_that_is_not_lightgbms_is_refused():
    for text in ("", "tree\n", lightgbm(TREE)[:-400], lightgbm(TREE, sizes="9999"), "a" * 4000):
        with pytest.raises(UnsafeModel):
            check_lightgbm(text, 2)
    with pytest.raises(UnsafeModel, match="another number of features"):
        check_lightgbm(lightgbm(TREE), 3)


def xgboost(**changes):
    tree = {
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "parents": [2147483647, 0, 0],
        "split_indices": [1, 0, 0],
        "split_type": [0, 0, 0],
        "split_conditions": [0.5, -1.0, 1.0],
        "default_left": [0, 0, 0],
        "base_weights": [0.0, -1.0, 1.0],
        "loss_changes": [2.0, 0.0, 0.0],
        "sum_hessian": [9.0, 4.0, 5.0],
        "tree_param": {"num_nodes": "3"},
    }
    model = {"trees": [{**copy.deepcopy(tree), **changes}], "tree_info": [0]}
    return json.dumps(
        {"learner": {"gradient_booster": {"name": "gbtree", "model": model}}}
    ).encode()


def test_whole_trees_of_xgboost_are_taken():
    check_xgboost(xgboost(), 2)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"left_children": [7, -1, -1]}, "do not form a tree"),
        ({"left_children": [0, -1, -1]}, "do not form a tree"),
        ({"left_children": [2, -1, -1]}, "do not form a tree"),
        ({"left_children": [1, 2, -1]}, "one child"),
        ({"split_indices": [2, 0, 0]}, "a feature that is not there"),
        ({"split_conditions": [0.5]}, "not whole"),
        ({"tree_param": {"num_nodes": "99"}}, "not whole"),
        ({"split_type": [1, 0, 0]}, "Invalid"),
    ],
)
def test_a_broken_tree_of_xgboost_is_refused(changes, why):
    with pytest.raises(UnsafeModel, match=why):
        check_xgboost(xgboost(**changes), 2)


def test_a_file_that_is_not_xgboosts_is_refused():
    for data in (b"", b"{", b"{L\x00\x00", b"[" * 100_000, b'{"learner":{}}', xgboost()[:-60]):
        with pytest.raises(UnsafeModel):
            check_xgboost(data, 2)
