"""One caller may not ask as often as it likes, and is told when to come back."""

import numpy as np
from tests.rest import ask, make_app

from thrive.server import pace
from thrive.server.pace import BURST_S, Pace


def test_the_long_run_keeps_the_rate_a_burst_passes_and_others_are_left_alone():
    paced, rng = Pace(50.0), np.random.default_rng(2)
    moments = np.cumsum(rng.exponential(1 / 400, 40_000))  # eight times as often as one may
    passed = sum(paced.wait("a", float(now)) == 0 for now in moments)
    allowed = 50.0 * (moments[-1] - moments[0] + BURST_S)
    assert abs(passed - allowed) <= 2
    assert paced.wait("b", float(moments[-1])) == 0


def test_whoever_waits_as_long_as_told_passes():
    paced = Pace(2.0)
    while not (wait := paced.wait("a", 7.0)):
        pass
    assert 0 < wait <= 0.5
    assert paced.wait("a", 7.0 + wait) == 0
    assert paced.wait("a", 7.0 + wait) > 0


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(pace, "REMEMBERED", 100)
    paced = Pace(1000.0)
    for number in range(1000):
        assert paced.wait(number, number / 1000) == 0
    assert paced.wait(1, 0.0) == 0
    assert len(vars(paced)["_full"]) <= 101


def test_both_protocols_say_when_to_come_back_and_probes_are_answered(home):
    app = make_app(home, rate=0.1)
    ours, theirs = "/api/v1/models", "/api/2.0/mlflow/experiments/get"
    while ask(app, "GET", ours).status != 429:
        pass
    told = ask(app, "GET", ours)
    assert (told.status, told.code) == (429, "StoreBusy")
    assert 1 <= int(told.headers["retry-after"]) <= 10
    mlflow = ask(app, "GET", theirs, query="experiment_id=0")
    assert mlflow.status == 429
    assert mlflow.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert mlflow.headers["retry-after"] == told.headers["retry-after"]
    assert ask(app, "GET", "/health").status == 200
    assert ask(app, "GET", ours, token="another").status == 401  # by its own bucket
