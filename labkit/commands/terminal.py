"""Text that a command did not make itself, on a terminal. Used by the commands that print tables."""

from __future__ import annotations

from rich import markup

from labkit.log_text import plain


def escape(text: str) -> str:
    """Text for rich that is shown as it is: no markup of its own, and nothing that acts on the terminal.

    Its later lines are set in, so that none passes for a line of the program's.
    """
    return markup.escape(plain(text).replace("\n", "\n    "))
