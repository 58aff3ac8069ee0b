"""A store's URL: how it is shown, and what one names that leads to a store by way of Sentinels. Used by `store/` and
whatever says to somebody which store is meant. Connects to nothing.

    redis://host:6379/0                                     rediss:// with TLS, unix:///path for a socket
    redis+sentinel://user:password@host:26379,host:26379/name-of-the-master/0?sentinel_password=...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from labkit.errors import InvalidConfigError

SENTINEL_PORT = 26379
_SENTINEL = "+sentinel"
_OF_SENTINELS = ("sentinel_username", "sentinel_password")
_HOW = "It has to look like redis+sentinel://host:26379,host:26379/name-of-the-master/0."


@dataclass(frozen=True, kw_only=True)
class SentinelAddress:
    """Who can say where the master is, and how one speaks to it.

    direct: the URL of the master, but for its host. username, password: what the Sentinels themselves want.
    """

    sentinels: Sequence[tuple[str, int]]
    service: str
    direct: str = field(repr=False)
    username: str = ""
    password: str = field(default="", repr=False)


def shown(url: str) -> str:
    """The URL without what is secret in it: no user, no password, no query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def sentinel_address(url: str) -> SentinelAddress | None:
    """Read a URL that names Sentinels; None: this one leads to the store itself.

    Errors: `InvalidConfigError` where no Sentinel or no master is named, or a port is no number.
    """
    parts = urlsplit(url)
    if not parts.scheme.endswith(_SENTINEL):
        return None
    user, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    asked = parse_qsl(parts.query)
    own = {name: value for name, value in asked if name in _OF_SENTINELS}
    query = urlencode([(name, value) for name, value in asked if name not in _OF_SENTINELS])
    try:
        sentinels = [_host_and_port(one) for one in hosts.split(",") if one]
    except ValueError:
        sentinels = []
    if not sentinels or not service:
        raise InvalidConfigError(f"WEBLAB_REDIS_URL {shown(url)} names no Sentinel, or no master. {_HOW}")
    return SentinelAddress(
        sentinels=sentinels,
        service=unquote(service),
        direct=f"{parts.scheme.removesuffix(_SENTINEL)}://{user}{at}master/{database or 0}?{query}".rstrip("?"),
        username=own.get("sentinel_username", ""),
        password=own.get("sentinel_password", ""),
    )


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(text)
    return parts.hostname, parts.port or SENTINEL_PORT
