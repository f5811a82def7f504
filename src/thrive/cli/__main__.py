"""`python -m thrive.cli` is `thrive`."""

from thrive.cli.main import main

main()
