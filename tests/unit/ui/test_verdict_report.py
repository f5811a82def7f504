"""A verdict as a file and as a page: the same template, every word escaped, nothing from elsewhere."""

import re

from thrive.domain.gate import Answer, CheckResult, Verdict
from thrive.ui.report import as_html

SLICE = {"slice": "origin=<b>", "gain": -0.02, "low": -0.04, "high": 0.0, "answer": "fail"}


def verdict():
    results = [
        CheckResult(
            check="calibration",
            group="quality",
            answer=Answer.PASS,
            summary="fine",
            evidence={"bins": [{"rows": 9, "score": 0.2, "share": 0.3}]},
            advisory=True,
        ),
        CheckResult(
            check="slices",
            group="quality",
            answer=Answer.FAIL,
            summary="<script>alert(1)</script>",
            evidence={"slices": [SLICE], "margin": 0.01},
            more_rows=7,
            smallest_visible=0.01,
        ),
        CheckResult(
            check="speed",
            group="performance",
            answer=Answer.PASS,
            summary="quick",
            evidence={"sizes": [{"rows": 1, "ratio": 1.0, "low": 0.9, "high": 1.1}], "limit": 1.2},
        ),
    ]
    digests = dict.fromkeys(
        ("candidate", "production", "test_data", "contract", "record"), "d" * 64
    )
    return Verdict(
        verdict_id="v", model="delay", version=2, against=1, baseline="", answer=Answer.FAIL,
        results=results, created_at=1, actor="ben", **digests,
    )  # fmt: skip


def test_the_report_stands_for_itself():
    text = as_html(verdict())
    assert "<script>alert" not in text
    assert "origin=<b>" not in text
    assert len(re.findall('<svg class="chart', text)) == 3
    assert "between -0.04 and 0" in text
    assert text.index("slices") < text.index("calibration</a>")
    assert not re.findall(r'(?:src|href)="(?!#)', text)
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "--ground" in text
