"""The command line: the operations as commands, with tables for people and JSON for machines.

`main` answers `--version`, `--help` and completion from a generated table before
anything heavy is imported; `execute` imports the one module a command needs, `parse` reads
its words, `render` prints what it returned, `failure` prints what went wrong. Nothing here decides
anything: operations do. Standard output carries the result alone; all else goes to standard error.
"""
