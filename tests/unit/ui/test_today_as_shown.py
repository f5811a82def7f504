"""Today as it is shown: each text of the page with a digit is made anew from the raw rows.

Nothing of the pages' own code is used for it: rows are read from the database file with `sqlite3`.
"""

import json
import sqlite3
from html.parser import HTMLParser
from typing import Any

from tests.unit.ui.browser import ask
from tests.unit.ui.filled_home import NOW, FilledHome

from thrive.domain.clock import DAY, HOUR
from thrive.ui.app import pages_app

WINDOWS = 30
"""Windows of a sparkline, as its words say."""
LABELS = ["p99", "p99"]
"""What holds a digit and is no number: the name of a latency, in a card and in a table."""


class Texts(HTMLParser):
    """The texts of a page's main part that hold a digit."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self._inside = self._inside or tag == "main"

    def handle_endtag(self, tag) -> None:
        self._inside = self._inside and tag != "main"

    def handle_data(self, data) -> None:
        if self._inside and any(letter.isdigit() for letter in data):
            self.found.append(" ".join(data.split()))


def ago(at: int) -> str:
    """Say a moment that is at least two hours away."""
    away = abs(NOW - at)
    said = f"{away / DAY:.0f} days" if away >= 2 * DAY else f"{away / HOUR:.0f} h"
    return f"{said} ago" if at <= NOW else f"in {said}"


class Raw:
    """The database file, and what Today should make of it."""

    def __init__(self, file: Any) -> None:
        self._connection = sqlite3.connect(file)
        self._connection.row_factory = sqlite3.Row

    def __call__(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(query, values)]

    def alerts(self) -> list[str]:
        said: list[str] = []
        for each in self("select * from alerts where state = 'open'"):
            word = each["recommended"] or "ACTION"
            command = f'thrive alerts decide {each["alert_id"]} {word} --reason "..."'
            said += [each["title"], ago(each["opened_at"]), ago(each["deadline"]), command]
        return said

    def incidents(self) -> list[str]:
        said: list[str] = []
        for each in self("select * from incidents where reported_at is null"):
            asked = '--authority "..." --cause "..."'
            said += [
                f"An incident is to be reported: {each['what']}",
                ago(each["aware_at"]),
                ago(each["due_at"]),
                f"thrive incidents report {each['incident_id']} {asked}",
            ]
        return said

    def held_data(self) -> list[str]:
        said: list[str] = []
        newest = "select *, max(version) from dataset_versions group by dataset"
        for each in self(f"select * from ({newest}) where not trainable"):
            failed = next(c for c in json.loads(each["checks"]) if c["state"] == "fail")
            label = f"{each['dataset']}@{each['version']}"
            said += [
                f"Runs may not train on {label}: {failed['check']} failed",
                ago(each["created_at"]),
                f'thrive data decide {label} --trainable --reason "..."',
            ]
        return said

    def held_releases(self) -> list[str]:
        said: list[str] = []
        for each in self("select * from releases where state = 'held'"):
            label = f"{each['model']}@{each['candidate']}"
            said += [
                f"The release of {label} is held: {each['reason']}",
                ago(each["phase_started_at"]),
            ]
        return said

    def live(self) -> dict[str, dict[str, Any]]:
        """Return the newest routing table of each model."""
        newest = self("select *, max(revision) from routing group by model")
        return {each["model"]: each for each in newest}

    def idle(self) -> list[str]:
        """Return models without traffic: what they lack, and what their line says."""
        said: list[str] = []
        for each in self("select *, max(version) from model_versions group by model"):
            if each["model"] in self.live():
                continue
            label = f"{each['model']}@{each['version']}"
            given = self("select count(*) as n from approvals where model = ?", each["model"])
            verdict = self("select * from verdicts where model = ?", each["model"])[-1]
            owner = self("select owner from models where name = ?", each["model"])[0]["owner"]
            said += [
                f"{label} has {given[0]['n']} of 1 approvals for production",
                ago(verdict["created_at"]),
                f'thrive approvals give {label} --reason "..."',
                f"newest version {each['version']} · owner {owner}",
                f"thrive releases start {label}",
            ]
        return said

    def model(self, name: str) -> tuple[list[str], int]:
        """Return what the row of a model in production says, and how many alerts it has."""
        variants = json.loads(self.live()[name]["variants"])
        version = next(each["version"] for each in variants if each["share"] > 0)
        windows = self("select * from windows where model = ? order by start", name)
        last = [each for each in windows if each["version"] == version][-1]
        found = json.loads(last["findings"])
        answered = sum(rows for kind, rows in found["variants"].items() if kind != "shadow")
        known = [json.loads(each["findings"])["performance"] for each in windows[-WINDOWS:]]
        values = [
            [each[signal]["value"] for each in known if signal in each][-1]
            for signal in ("estimated accuracy", "realised accuracy")
        ]
        release = self("select * from releases where model = ? order by started_at", name)[-1]
        outcomes = max(each["end"] for each in windows if each["outcomes"])
        alerts = self("select * from alerts where model = ? and state <> 'closed'", name)
        owner = self("select owner from models where name = ?", name)[0]["owner"]
        shares = ", ".join(f"@{each['version']} {each['share']:.0%}" for each in variants)
        said = [
            shares.replace("%", " %"),
            str(last["rows"]),
            f"{100 * found['errors'] / answered:.2f} %",
            f"{found['latency_us'][1] / 1000:.1f} ms",
            f"{sum(each['drifted'] for each in found['columns'])} of {len(found['columns'])}",
            *(f"{value:.4g}" for value in values),
            f"accuracy over {len(known)} windows",
            f"@{release['candidate']}",
            ago(release["ended_at"] or release["started_at"]),
            ago(outcomes),
            *(f"{each['title'].rstrip('.')}." for each in alerts),
        ]
        if alerts:
            said.append(f"@{version} · owner {owner}")
        return said, len(alerts)


def test_every_number_on_the_page_is_made_anew_from_raw_rows(filled: FilledHome) -> None:
    raw = Raw(filled.context.home.folder / "thrive.db")
    rows = {name: raw.model(name) for name in raw.live()}
    unhealthy = sum(alerts > 0 for _, alerts in rows.values())
    waiting = sum(
        raw(f"select count(*) as n from {table}")[0]["n"]
        for table in (
            "alerts where state = 'open'",
            "incidents where reported_at is null",
            "releases where state = 'held'",
        )
    )
    idle = len(raw("select distinct model from model_versions")) - len(rows)
    waiting += idle + len(raw.held_data()) // 3  # each lacks one approval
    counts = [waiting, unhealthy, len(rows) - unhealthy]
    expected = [str(count) for count in (*counts, *counts, idle)]
    expected += [*raw.alerts(), *raw.incidents(), *raw.held_data(), *raw.held_releases()]
    expected += [*raw.idle(), *(text for said, _ in rows.values() for text in said), *LABELS]
    shown = Texts(ask(pages_app(filled.context), "/").text).found
    assert sorted(shown) == sorted(expected)
    assert len(shown) > 40
