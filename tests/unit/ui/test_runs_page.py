"""Runs and their comparison: what the table and the address say, and why one run is better."""

import re

import numpy as np
import pytest
from tests.unit.ui.browser import ask
from tests.unit.ui.filled_home import FilledHome

from thrive.domain.errors import UsageError
from thrive.ui.app import pages_app
from thrive.ui.pages import compare, runs


@pytest.fixture(scope="module")
def app(filled: FilledHome):
    return pages_app(filled.context)


def compared(filled: FilledHome, **words: str) -> compare.ComparePage:
    return compare.load(filled.context, {"run": f"{filled.run_id},{filled.other_run_id}", **words})


def test_the_table_is_filtered_ordered_grouped_and_has_the_columns_asked_for(
    filled: FilledHome,
) -> None:
    def table(**words: str) -> runs.RunsPage:
        return runs.load(filled.context, words)

    slow = table(q="params.learning_rate = '0.03'")
    assert [each.run_id for each in slow.runs] == [filled.other_run_id]
    assert slow.matched == 1
    assert table(q="metrics.roc_auc >").problem
    best = table(order="metrics.roc_auc DESC", columns="metrics.roc_auc,params.learning_rate")
    assert [each.cells for each in best.runs] == [[0.7412, 0.08], [0.7301, 0.03]]
    assert [column.sorted for column in best.columns] == ["desc", ""]
    grouped = table(group="params.learning_rate")
    assert sorted((each.value, each.runs) for each in grouped.groups) == [("0.03", 1), ("0.08", 1)]
    known = dict(zip(grouped.measured, grouped.groups[0].spreads, strict=True))
    assert (
        known["roc_auc"] == {"0.08": (0.7412,) * 3, "0.03": (0.7301,) * 3}[grouped.groups[0].value]
    )
    only = table(q=grouped.groups[0].filter)
    assert only.matched == grouped.groups[0].runs
    assert table(view="deleted").matched == 0


def test_the_address_of_the_table_is_all_of_its_state(app, filled: FilledHome) -> None:
    asked = "/runs?experiment=flight-delay&q=metrics.roc_auc+%3E+0.1&order=metrics.roc_auc+DESC"
    text = ask(app, asked).text
    for part in ("experiment", "q", "order"):
        value = re.search(rf'name="{part}" value="([^"]+)"', text)
        assert value is not None, part
    heads = text[text.index("<thead>") : text.index("</thead>")]
    links = re.findall(r'href="(/runs\?[^"]+)"', heads)
    assert len(links) > 2
    assert all("experiment=flight-delay" in link and "q=metrics.roc_auc" in link for link in links)


def test_what_differs_comes_first_and_what_is_the_same_is_said_once(app, filled) -> None:
    page = compared(filled)
    assert [row.name for row in page.params if row.differs] == ["learning_rate"]
    assert page.params[0].differs
    text = ask(app, f"/compare?run={filled.run_id},{filled.other_run_id}").text
    order = [
        text.index(f'<h2 id="{name}"') for name in ("params", "curves", "metrics", "axes", "files")
    ]
    assert order == sorted(order)


def test_curves_are_smoothed_as_asked_and_their_scale_may_be_logarithmic(app, filled) -> None:
    page = compared(filled, metric="log_loss", smooth="0.9")
    assert len(page.curves) == 2
    for curve in page.curves:
        values = np.array(curve.values, dtype=float)
        weights = 0.9 ** np.arange(len(values))  # the newest first
        expected = [
            float((values[: at + 1][::-1] * weights[: at + 1]).sum() / weights[: at + 1].sum())
            for at in range(len(values))
        ]
        assert curve.smoothed == pytest.approx(expected)
    address = f"/compare?run={filled.run_id},{filled.other_run_id}&metric=log_loss"
    plain, log = (ask(app, address + more).text for more in ("", "&log=1"))
    assert 'name="log" value="1" checked' in log
    assert re.findall(r'<polyline[^>]+points="[^"]+"', plain) != re.findall(
        r'<polyline[^>]+points="[^"]+"', log
    )
    for wrong in ("1", "-0.1", "nan", "much"):
        with pytest.raises(UsageError):
            compared(filled, smooth=wrong)


def test_axes_place_each_run_between_the_least_and_the_most(filled: FilledHome) -> None:
    axes = {axis.name: axis for axis in compared(filled, metric="log_loss").axes}
    assert axes["learning_rate"].places == [1.0, 0.0]
    assert (axes["learning_rate"].low, axes["learning_rate"].high) == ("0.03", "0.08")
    assert axes["log_loss"].places == [0.0, 1.0]


def test_pictures_of_runs_stand_side_by_side(app, filled: FilledHome) -> None:
    page = compared(filled)
    row = next(each for each in page.files if each.is_image)
    assert (row.name, row.same, len(row.files)) == ("plots/calibration.png", False, 2)
    text = ask(app, f"/compare?run={filled.run_id},{filled.other_run_id}").text
    found = re.findall(r'<img class="artifact" src="([^"]+)" alt="([^"]+)"', text)
    assert [alt for _, alt in found] == [
        "plots/calibration.png of boosting, all weather",
        "plots/calibration.png of boosting, slower",
    ]
