"""Serving: answers over HTTP, and a log of every answer.

One agent a host follows the routing table, keeps verified copies of the packages, keeps the worker
processes alive and ships what they logged. Workers answer from local files alone: with the control
plane gone they go on, and say how old their routing is. A version that is not in production answers
from a process of its own, so it can hang, leak or crash without anybody noticing but the release.

This room does not decide who gets traffic (`thrive.flows.traffic` moves the routing table), and
does not judge what was answered (`thrive.release`, `thrive.monitoring`).

Doors: `operations` (serving status), `lookup.find_prediction`, `sealing.seal_logs`,
`records.decode` (what a logged record means).
"""
