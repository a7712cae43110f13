"""Text for a terminal: characters that command it, or reorder and hide text, are shown escaped.

Names, instructions, errors and results may come from somebody else. Left as they are, their control
characters could clear the screen, retitle the window or imitate other output.
"""

from __future__ import annotations

import sys
import unicodedata

from rich.markup import escape as escape_markup

__all__ = ["escape", "say", "visible"]

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format (bidi), surrogate, separators
_KEPT = frozenset("\n\t\u200c\u200d")  # the joiners belong to scripts and emoji


def visible(text: str) -> str:
    r"""Return a text with its unseen characters as escapes, such as `\x1b` and `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def escape(text: str) -> str:
    """Return a text that rich prints as it is, without markup and with `visible` characters."""
    return escape_markup(visible(text))


def say(text: object, *, err: bool = False, end: str = "\n") -> None:
    """Print a text, `visible`, to stdout or stderr."""
    print(visible(str(text)), file=sys.stderr if err else sys.stdout, end=end)


def _visible(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in _UNSEEN:
        return char
    return char.encode("unicode_escape").decode("ascii")
