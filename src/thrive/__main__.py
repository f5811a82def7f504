"""`python -m thrive` is the command line."""

from thrive.cli.main import main

main()
