import random

import pytest

from thrive.domain.run import MetricPoint
from thrive.store.observations import Observation, observe_one


@pytest.fixture
def three(client):
    """Three runs: a is old and good, b is bad, c has no metric."""
    made = {}
    for at, (name, auc, model) in enumerate(
        (("a", 0.9, "gbm"), ("b", 0.1, "Tree"), ("c", None, ""))
    ):
        made[name] = run = client.run(run_name=name)
        if auc is not None:
            point = {"key": "val/auc", "value": auc, "timestamp": at, "step": 0}
            client.post("runs/log-batch", run_id=run, metrics=[point])
            client.post("runs/log-parameter", run_id=run, key="model type", value=model)
            client.post("runs/set-tag", run_id=run, key="team.name", value=f"team {name}")
    return made


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", "cba"),
        ("metrics.`val/auc` > 0.5", "a"),
        ('metrics."val/auc" <= 0.9', "ba"),
        ("metric.`val/auc` != 0.9", "b"),
        ("params.`model type` = 'gbm'", "a"),
        ("params.`model type` != 'gbm'", "b"),
        ("params.`model type` LIKE 't%'", ""),
        ("params.`model type` ILIKE 't%'", "b"),
        ("params.`model type` ILIKE '%B%'", "a"),
        ("params.`model type` LIKE '%B%'", ""),
        ("params.`model type` LIKE '%g_m%'", "a"),
        ("tags.team.name = 'team a'", "a"),
        ("tags.team.name IS NULL", "c"),
        ("tags.`team.name` is not null and metrics.`val/auc` < 1e9", "ba"),
        ("tags.nobody IS NULL", "cba"),
        ("tags.nobody != 'x'", ""),
        ("metrics.nobody > 1", ""),
        ("run_name IN ('a', 'c')", "ca"),
        ("attributes.run_name NOT IN ('a', 'c')", "b"),
        ("attribute.status = 'RUNNING'", "cba"),
        ("status != 'RUNNING'", ""),
        ("attributes.start_time >= 1000 and start_time < 1003", "cba"),
        ("attributes.user_id = 'owner'", "cba"),
        ("attributes.artifact_uri LIKE 'mlflow-artifacts:/1/%'", "cba"),
        ("attributes.experiment_id = '1'", "cba"),
        ("attributes.experiment_id = '2'", ""),
        ('attributes.`run name` = "b"', "b"),
    ],
)
def test_quirk_13_filters(client, three, words, names):
    assert "".join(client.names(words)) == names


@pytest.mark.parametrize(
    "words",
    [
        "metrics.a > 1 OR metrics.b > 1",
        "metrics.a > 'x'",
        "params.a = 1",
        "params.a > 'x'",
        "attributes.nothing = 'x'",
        "things.a = 'x'",
        "metrics.a >",
        "metrics.a IS NULL",
        "metrics.a = 1 metrics.b = 2",
        "run_id IN ()",
        "run_id IN ('a'",
        "status LIKE",
        "'a' = 'a'",
        "params.a = 'open",
    ],
)
def test_quirk_13_filters_that_cannot_be_read(client, words):
    told = client.refused("POST", "runs/search", {"experiment_ids": ["0"], "filter": words})
    assert told[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_order_puts_numbers_first_then_nan_then_what_is_missing(client, three):
    client.post("runs/log-metric", run_id=three["c"], key="x", value="NaN", timestamp=1)
    client.post("runs/log-metric", run_id=three["a"], key="x", value=2, timestamp=1)
    last = client.run(run_name="d")
    client.post("runs/log-metric", run_id=last, key="x", value=1, timestamp=1)
    assert client.names(order_by=["metrics.x"]) == ["d", "a", "c", "b"]
    assert client.names(order_by=["metrics.x DESC"]) == ["a", "d", "c", "b"]
    assert client.names(order_by=["params.`model type` ASC", "start_time"])[:2] == ["b", "a"]
    assert client.names(order_by=["attributes.run_name DESC"]) == ["d", "c", "b", "a"]


def test_what_changed_since_is_found(client, three, home):
    assert client.names("metrics.`val/auc` > 0.5") == ["a"]
    point = MetricPoint(key="val/auc", value=0.7, step=1, at=1)
    with home.write() as tx:
        from thrive.store import changes

        observe_one(tx, home.project_id, three["c"], Observation(points=[point]))
        changes.append(tx, home.project_id, "run", three["c"])
    client.post("runs/delete-tag", run_id=three["b"], key="team.name")
    assert client.names("metrics.`val/auc` > 0.5") == ["c", "a"]
    assert client.names("tags.team.name IS NULL") == ["c", "b"]


def test_quirk_10_pages_neither_skip_nor_repeat_whatever_the_order(client):
    chance = random.Random(1)
    for at in range(40):
        run = client.run(run_name=f"run {at:02}")
        metrics = [{"key": "x", "value": chance.randrange(4), "timestamp": 1, "step": 0}]
        params = [{"key": "p", "value": chance.choice("abc")}]
        if at % 5:
            client.post("runs/log-batch", run_id=run, metrics=metrics, params=params)
    for order in ([], ["metrics.x DESC"], ["params.p DESC", "metrics.x"], ["run_name"]):
        whole = client.names(order_by=order)
        seen, token = [], ""
        while True:
            page = client.search(order_by=order, max_results=3, page_token=token)
            seen += [run["info"]["run_name"] for run in page["runs"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        assert seen == whole
        assert len(set(whole)) == 40


@pytest.mark.parametrize("token", ["x", "%%%", "e30=", "WyJhIiwgW11d"])
def test_quirk_10_a_token_of_no_page_is_refused(client, three, token):
    body = {"experiment_ids": ["1"], "page_token": token}
    assert client.refused("POST", "runs/search", body)[1] == "INVALID_PARAMETER_VALUE"


def test_only_the_experiments_asked_for_are_searched(client, three):
    client.run("other", run_name="z")
    assert client.names(experiment_ids=["2"]) == ["z"]
    assert client.names(experiment_ids=["1", "2"])[0] == "z"
    assert client.names(experiment_ids=[]) == []
