"""Releases: a version's road to its users, judged at every look, and back when it hurts.

`machine` is a pure state machine: from a release, the evidence of its present phase and the
contract's terms to the next state, in words. `guards` says what ends a release at once, `quality`
whether outcomes show a candidate to be worse, `evidence` collects both from the prediction log.

This room never moves traffic: `thrive.flows.traffic` persists each step together with the routing
table. It does not answer requests either: that is `thrive.serving`.

Doors: `machine.advance`, `machine.placements`, `evidence.collect`, `operations`.
"""
