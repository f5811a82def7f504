"""Where a version stands to the accuracy that is declared to users (AI Act art. 15(3))."""

from thrive.contract.levels import AccuracyLevel, parse_level
from thrive.governance.records import Records

_LIVE = "realised "


def declared_level(records: Records) -> AccuracyLevel | None:
    """Return the level that people declared, None where nobody did."""
    return parse_level(records.answers.fields.get("accuracy_level", ""))


def live_value(records: Records, level: AccuracyLevel) -> tuple[float, float] | None:
    """Return the metric and its standard error in the newest window that has it."""
    for window in reversed(records.windows):
        found = window.findings.get("performance", {}).get(_LIVE + level.metric, {})
        if found.get("value") is not None:
            return float(found["value"]), float(found.get("error") or 0.0)
    return None


def live_metrics(records: Records) -> list[str]:
    """Return the metrics that outcomes of the version were measured by, in order."""
    found = {
        name.removeprefix(_LIVE)
        for window in records.windows
        for name, each in window.findings.get("performance", {}).items()
        if name.startswith(_LIVE) and each.get("value") is not None
    }
    return sorted(found)


def below_level(records: Records) -> str:
    """Return in words how a version misses the level that is declared of it, "" if it does not.

    A live metric misses it when the end of its interval of 95% does; one of a test at once.
    """
    level = declared_level(records)
    if level is None:
        return ""
    said = f"and {level.words} is declared to users"
    tested = records.version.metrics.get(level.metric)
    if tested is not None and not level.kept_by(tested):
        return f"{records.label} was registered with {level.metric} {tested:.4g}, {said}"
    live = live_value(records, level)
    if live is not None and not level.kept_live(*live):
        return f"{records.label} has a live {level.metric} of {live[0]:.4g}, {said}"
    return ""
