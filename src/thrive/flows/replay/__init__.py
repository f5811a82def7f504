"""Replay: recorded traffic answered again as live traffic, on a clock that only a replay moves.

`traffic` reads the recorded requests, `caller` speaks to the serving host, `days` drives the
clock hour by hour. It is for projects made for it (`thrive init --clock replay`), and every
record made under it says so.
"""
