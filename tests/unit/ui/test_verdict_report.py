"""A verdict as a file: the template of its page, every word escaped, nothing from elsewhere."""

import re

from thrive.domain.gate import Answer, CheckResult, Verdict
from thrive.ui.report import as_html

SLICE = {"slice": "origin=<b>", "gain": -0.02, "low": -0.04, "high": 0.0, "answer": "fail"}
SIZE = {"rows": 1, "ratio": 1.0, "low": 0.9, "high": 1.1}


def check(name, answer, summary, evidence, **more):
    return CheckResult(
        check=name, group="quality", answer=answer, summary=summary, evidence=evidence, **more
    )


def verdict():
    bins = {"bins": [{"rows": 9, "score": 0.2, "share": 0.3}]}
    results = [
        check("calibration", Answer.PASS, "fine", bins, advisory=True),
        check(
            "slices", Answer.FAIL, "<script>alert(1)</script>", {"slices": [SLICE], "margin": 0.01}
        ),
        check("speed", Answer.PASS, "quick", {"sizes": [SIZE], "limit": 1.2}),
    ]
    names = ("candidate", "production", "test_data", "contract", "record")
    return Verdict(
        verdict_id="v", model="delay", version=2, against=1, baseline="", answer=Answer.FAIL,
        results=results, created_at=1, actor="ben", **dict.fromkeys(names, "d" * 64),
    )  # fmt: skip


def test_the_report_stands_for_itself():
    text = as_html(verdict())
    assert "<script>alert" not in text
    assert "origin=<b>" not in text
    assert len(re.findall('<svg class="chart"', text)) == 3
    assert "between -0.04" in text
    assert text.index(">slices</a>") < text.index(">calibration</a>")
    assert not re.findall(r'(?:src|href)="(?!#)', text)
    assert "default-src 'none'" in text
    assert "--ground" in text
