"""Entry point of `python -m editloop`, the same as `editloop`."""

from editloop.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
