"""What a scrape reads."""

from thrive.server.metrics import Metrics


def test_the_type_of_a_metric_is_told_once():
    metrics = Metrics()
    metrics.record("GET", "/a", 200, 0.002)
    metrics.record("GET", "/b", 200, 0.002)
    jobs = {'thrive_jobs{state="waiting"}': 2.0, 'thrive_jobs{state="running"}': 1.0}
    lines = metrics.text(jobs, {"thrive_requests_dropped_total": 3.0}).splitlines()
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types)) == 4
    assert 'thrive_jobs{state="waiting"} 2' in lines
    assert lines.index("# TYPE thrive_jobs gauge") < lines.index('thrive_jobs{state="running"} 1')


def test_a_large_number_keeps_its_digits():
    text = Metrics().text({"thrive_a": 0.1234567891}, {"thrive_b_total": 12_345_678.0})
    assert "thrive_a 0.1234567891\n" in text
    assert "thrive_b_total 12345678\n" in text
