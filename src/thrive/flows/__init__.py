"""Flows: what crosses capabilities, one module a flow, and the catalogue of all operations.

`catalogue` names every module that declares operations; `workspace` is the door of Python users;
`project` begins, checks and looks after a project. Flows call capabilities, which never call each
other. Nothing here talks HTTP, renders or parses a command line: cli, server and ui do.
"""
