"""Schedules: what is run again by itself, when, and why it was."""

from enum import StrEnum
from typing import Any

import msgspec

from thrive.domain.run import CodeRecord


class Missed(StrEnum):
    """What becomes of the times of a schedule at which nobody looked."""

    ONCE = "once"
    """One run stands for all of them."""
    SKIP = "skip"
    """They are left out; only the present counts."""
    ALL = "all"
    """Each is made up for."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline that is run by itself.

    Attributes:
        target: FILE or FILE:PIPELINE, inside the code.
        params: as typed.
        triggers: `cron 0 3 * * *`, `data NAME`, `drift MODEL`, `outcome MODEL`, `registry MODEL`.
        zone: the time zone of its cron lines.
        debounce: microseconds without another event before an event counts.
        budget: how many runs at most within `budget_window` microseconds; 0 for no limit.
        code: what is executed, as it was when the schedule was added.
        next_at: when a cron line is due next, None without one.
        seen: trigger -> the last event of it that was taken in.
        pending: an event that waits: its `cause` and `since` when.
        revision: grows with each change; of two servers that would fire, one does.
    """

    name: str
    target: str
    triggers: list[str]
    code: CodeRecord
    actor: str
    created_at: int
    params: list[str] = []
    experiment: str = ""
    zone: str = "UTC"
    missed: Missed = Missed.ONCE
    debounce: int = 0
    budget: int = 0
    budget_window: int = 0
    next_at: int | None = None
    seen: dict[str, str] = {}
    pending: dict[str, Any] | None = None
    paused: bool = False
    revision: int = 0


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """One time that a schedule fired, with its cause; `run_id` is "" until its run began."""

    firing_id: str
    schedule: str
    cause: str
    fired_at: int
    by_hand: bool = False
    job_id: str = ""
    run_id: str = ""
