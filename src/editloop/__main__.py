"""`python -m editloop` is `editloop`."""

from editloop.cli import main

main()
