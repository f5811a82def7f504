"""Governance: what a project owes for a model, and the card that answers it from records alone.

A model card is rendered from what the store holds, never edited by hand: each statement carries
the id of its record, and a fact nobody recorded is shown as missing. The room gives no legal
advice and decides nothing; roads to production are refused by the flow of promotion.
"""
