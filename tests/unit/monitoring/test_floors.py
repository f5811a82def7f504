"""Like is held to like: a Monday to Mondays, a winter to winters, where history allows."""

import numpy as np
from tests.real_streams import terms

from thrive.domain.clock import DAY, parse_time
from thrive.monitoring.floors import Effects, drift_floors, floor_at, season, weekday

MONDAY, WINTER, SUMMER = (parse_time(day) for day in ("2024-01-01", "2024-01-17", "2024-07-17"))


def effects(days: int, usual, every: int = 1) -> Effects:
    rng = np.random.default_rng(1)
    made = Effects(names=["a"])
    for number in range(0, days, every):
        start = MONDAY - (days - number) * DAY
        made.starts.append(start)
        made.by_name["a"].append(float(usual(start) * rng.lognormal(0.0, 0.1)))
    return made


def floors(days: int, usual, every: int = 1) -> list[float]:
    window = terms(window=f"{every} days")
    return drift_floors(effects(days, usual, every), window, 365 / every)["floors"]["a"]


def test_a_weekday_is_held_to_its_own_kind_once_half_a_year_is_known() -> None:
    found = floors(26 * 7, lambda start: 0.3 if weekday(start) == 6 else 0.01)
    sunday, monday = floor_at(found, MONDAY - DAY), floor_at(found, MONDAY)
    assert sunday > 0.3
    assert monday < 0.1
    short = floors(12 * 7, lambda start: 0.3 if weekday(start) == 6 else 0.01)
    assert floor_at(short, MONDAY) == floor_at(short, MONDAY - DAY)


def test_a_season_is_held_to_its_own_kind_once_years_are_known() -> None:
    found = floors(3 * 365, lambda start: 0.3 if season(start) == 0 else 0.01, every=7)
    assert floor_at(found, WINTER) > 0.3
    assert floor_at(found, SUMMER) < 0.1
    short = floors(365, lambda start: 0.3 if season(start) == 0 else 0.01, every=7)
    assert floor_at(short, WINTER) == floor_at(short, SUMMER)
