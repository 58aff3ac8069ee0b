"""Address: where pictures come from, in a form that can be shown. Used by the options, the driver and its errors.

An address may hold a user and a password (`rtsp://user:password@host/`), or a key in its query. Neither may stand in a
log, an error or on a page.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

_SHORT = 4  # a shorter password also stands in ordinary words; it is hidden where it follows its user's name
_PARTS = re.compile(r"([^:/?#]*:/{1,2})([^/?#]*)(.*)", re.DOTALL)  # FFmpeg takes one slash, too
_HOST = re.compile(r"(\[.*\]|[^:]*)(:\d*)?")


class Address:
    """Text that FFmpeg opens: `reveal()` is for FFmpeg, `str()` for people."""

    __slots__ = ("_secrets", "_text", "shown")

    def __init__(self, text: str):
        self._text = text
        self.shown, self._secrets = _masked(text)

    @property
    def secret(self) -> bool:
        """Whether it holds something that must not be shown."""
        return self.shown != self._text

    def reveal(self) -> str:
        return self._text

    def hide(self, text: str) -> str:
        """`text` without what must not be shown."""
        text = text.replace(self._text, self.shown)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def is_file(text: str) -> bool:
    return text.startswith(("/", "file:"))


def is_address(text: str) -> bool:
    """Is it what FFmpeg could open, and not a name that depends on the folder in which the lab was started?"""
    return text.startswith("/") or re.match(r"[a-z][a-z0-9+.-]*://?.", text) is not None


def _masked(text: str) -> tuple[str, list[str]]:
    """The text without user's password and without values in the query, and what was hidden in each way to write it.

    Taken apart by hand: `urlsplit` refuses what FFmpeg opens, and repeats the password where it does.
    """
    parts = None if is_file(text) else _PARTS.fullmatch(text)
    if parts is None:
        return text, []
    head, place, rest = parts.groups()
    if "@" not in place and not _HOST.fullmatch(place) and "@" in rest:  # a "/" of the password, not of the path
        more, at, rest = rest.rpartition("@")
        place += more + at
    account, at, host = place.rpartition("@")
    user, colon, password = account.partition(":")
    shown = f"{user}:{HIDDEN}" if colon else user
    path, mark, query = rest.partition("?")
    query, number, fragment = query.partition("#")
    hidden = {password} if colon else set()
    hidden |= {value for pair in query.split("&") if (value := pair.partition("=")[2])}
    hidden |= {unquote(secret) for secret in hidden}
    query = re.sub(r"=[^&]+", f"={HIDDEN}", query)
    secrets = {f"{account}@"} if colon else set()
    secrets |= {secret for secret in hidden if len(secret) >= _SHORT}
    whole = f"{head}{shown}{at}{host}{path}{mark}{query}{number}{fragment}"
    return whole, sorted(secrets, key=len, reverse=True)
