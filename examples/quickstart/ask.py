# ask.py
import json
import random
from datetime import UTC, datetime
from urllib.request import Request, urlopen

import polars as pl

rows = [
    {"delivery_id": f"n{n}", "km": random.uniform(0.5, 9), "rain_mm": n % 5, "hour": n % 24}
    for n in range(200)
]
body = json.dumps({"rows": rows}).encode()
url = "http://127.0.0.1:8100/predict/late-delivery"
answers = json.load(urlopen(Request(url, body, {"Content-Type": "application/json"})))
now = datetime.now(UTC)
happened = [
    {"prediction_id": each["id"], "value": int(random.random() < each["score"]), "observed_at": now}
    for each in answers["predictions"]
]
pl.DataFrame(happened).write_csv("outcomes.csv")
