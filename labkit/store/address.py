"""A store's URL: how it is shown, what is wrong with it, and what one names that leads to a store by way of Sentinels.
Used by `store/` and whatever says to somebody which store is meant. Connects to nothing.

    redis://host:6379/0                                     rediss:// with TLS, unix:///path for a socket
    redis+sentinel://user:password@host:26379,host:26379/name-of-the-master/0?sentinel_password=...
    rediss+sentinel://host:26379/name-of-the-master/0?ssl_ca_certs=/etc/lab/ca.pem
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import redis

from labkit.errors import InvalidConfigError

SENTINEL_PORT = 26379
_SENTINEL = "+sentinel"
_OF_SENTINELS = ("sentinel_username", "sentinel_password")
_HOW = "It has to look like redis+sentinel://host:26379,host:26379/name-of-the-master/0."
_ESCAPE = "In a user and a password, all but letters and digits is written as %2F, say, which is a slash."
_NO_TLS = "Timeout connecting", "WRONG_VERSION_NUMBER", "EOF occurred", "record layer failure"
Made = TypeVar("Made")


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
    """The URL without what is secret in it: no user, no password, no query. Of one in which nobody can say where a
    password ends, as there is a sign in it that ends a host's name, no more than the scheme."""
    parts = _split(url)
    if parts is None:
        return f"{url.partition('://')[0]}://…"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None where an `@` comes so late that it may be that of a password."""
    try:
        parts = urlsplit(url)
        return None if "@" in f"{parts.path}{parts.query}{parts.fragment}" else parts
    except ValueError:  # half an IPv6 address
        return None


def made_of(url: str, make: Callable[[], Made]) -> Made:
    """What `make` makes of a URL. Errors: `InvalidConfigError` for all that redis-py has against one, and where a
    password was cut off in the middle, so that another host would be asked."""
    if _is_cut(url):
        raise InvalidConfigError(f"WEBLAB_REDIS_URL {shown(url)} can't be read. {_ESCAPE}")
    try:
        return make()
    except ValueError as error:
        # of a port it tells what it has read there, which may be a password
        reason = _ESCAPE if "port" in str(error).lower() else str(error)
        raise InvalidConfigError(f"WEBLAB_REDIS_URL {shown(url)} can't be read. {reason}") from None
    except (TypeError, redis.exceptions.RedisError) as error:  # an option that this kind of connection has not
        raise InvalidConfigError(f"WEBLAB_REDIS_URL {shown(url)} has a wrong option: {error}") from None


def _is_cut(url: str) -> bool:
    """Whether a password has a sign in it that ends a host's name; a path of a socket may have an `@`."""
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        return True
    return "@" in f"{parts.path}{parts.fragment}" and parts.scheme != "unix"


def tls_rules(url: str) -> dict[str, bool]:
    """What TLS has to check where the URL does not say: that a certificate is that of the host which was asked.
    Older versions of redis-py leave it out."""
    asked = dict(parse_qsl(urlsplit(url).query))
    if not url.startswith("rediss") or asked.get("ssl_cert_reqs") == "none" or "ssl_check_hostname" in asked:
        return {}
    return {"ssl_check_hostname": True}


def hint(url: str, error: Exception) -> str:
    """What else may be wrong where a server does not answer; '' where nothing speaks for it. One without TLS waits for
    the rest of a command, and says nothing."""
    if url.startswith("rediss") and any(sign in str(error) for sign in _NO_TLS):
        return " The address asks for TLS (rediss): does the server speak it at this port?"
    return ""


def sentinel_address(url: str) -> SentinelAddress | None:
    """Read a URL that names Sentinels; None: this one leads to the store itself.

    Errors: `InvalidConfigError` where no Sentinel or no master is named, or a port is no number.
    """
    if not url.partition("://")[0].endswith(_SENTINEL):
        return None
    parts = made_of(url, lambda: urlsplit(url))
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
        raise InvalidConfigError(f"WEBLAB_REDIS_URL {shown(url)} names no Sentinel, or no master. {_HOW} {_ESCAPE}")
    if parts.scheme not in ("redis+sentinel", "rediss+sentinel"):
        raise InvalidConfigError(f"WEBLAB_REDIS_URL {shown(url)}: Sentinels are asked by TCP. {_HOW}")
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
