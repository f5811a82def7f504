"""Forgetting a person: find what names them everywhere, erase it, and prove that it is gone.

`find-subject` looks and changes nothing; `erase` is a state machine of steps that each can be
taken again. Both join data, serving, registry and governance; neither keeps the person's value.
"""
