"""Monitoring: windows of predictions, what was found in them, and the alerts that follow.

A window of a live version is measured once it has ended: counters a feature, estimated and real
performance, faults of the data. It is judged against limits that the version's own reference
history and the contract's alert budget give. Causes are ordered; a higher one inhibits the lower.
Drift explains an alert and never raises one. Not here: the deciding and the doing (flows), the
joining of outcomes (feedback).

Doors: `close_windows` (closing), `raise_alerts` (alerts), `send` and `enqueue` (notify).
"""
