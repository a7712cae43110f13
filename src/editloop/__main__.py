"""`python -m editloop` is `editloop`."""

from editloop.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
