# make_data.py
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

random.seed(7)
start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=56)
rows = []
for number in range(8000):
    at = start + timedelta(minutes=10 * number)
    km, rain = round(random.uniform(0.5, 9), 2), round(max(0, random.gauss(0, 2)), 1)
    risk = 0.05 + 0.05 * km + 0.1 * rain + 0.15 * (at.hour in {17, 18, 19})
    rows.append((f"d{number}", at, km, rain, at.hour, int(random.random() < risk)))
columns = ["delivery_id", "ordered_at", "km", "rain_mm", "hour", "late"]
Path("data").mkdir(exist_ok=True)
pl.DataFrame(rows, columns, orient="row").write_csv("data/deliveries.csv")
