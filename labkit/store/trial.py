"""The trial: whether a lab can rely on a store, asked once when a process begins. Used by the lab and `labkit check`.

Every command that labkit uses is tried on keys that exist for this only, for a few milliseconds: a store that refuses
one would do so in the middle of a session, with half of a change made. Then what it says of itself: a store that throws
keys away when it is full could forget who holds a bench. All of it goes out at once, so it costs one round trip.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import AuthenticationError

from labkit.errors import StoreUnavailableError, StoreUnfitError
from labkit.store.address import shown
from labkit.store.connection import Store, text
from labkit.store.pool import Argument

log = logging.getLogger("labkit.store")

OLDEST = (6, 2)
"""The first Redis with XADD MINID. Every Valkey is newer."""
GUIDE = "docs/how-to/move-to-production.md says what a store needs."

# ARGV: for each command the number of its words, and these. Returns: command, error, for each that was refused.
# Nothing of it goes to replicas or to the append-only file.
_SCRIPT = """
redis.set_repl(redis.REPL_NONE)
local refused, i = {}, 1
while i <= #ARGV do
  local answer = redis.pcall(unpack(ARGV, i + 1, i + ARGV[i]))
  if type(answer) == "table" and answer.err then
    refused[#refused + 1] = ARGV[i + 1]
    refused[#refused + 1] = answer.err
  end
  i = i + ARGV[i] + 1
end
return refused
"""

Command = Sequence[Argument]


def try_store(store: Store) -> None:
    """Try a store. Blocks for one round trip.

    Errors: `StoreUnfitError` naming the command or the setting, the store and the way out; `StoreUnavailableError`
    where it does not answer.
    """
    key = _keys_of_a_trial(store)
    commands = [_evaluated(key, _in_a_script(key)), *_by_themselves(key, store.replicas), *_ABOUT, *_listening(key)]
    try:
        answers = list(zip(commands, store.answers(commands), strict=True))
    except StoreUnavailableError as error:
        if isinstance(error.__cause__, AuthenticationError):
            raise _unfit(store, _refusal([("its password", str(error.__cause__))])) from error
        raise
    said = _said([answer for one, answer in answers if one in _ABOUT])
    problem = _too_old(said) or _refusal(_refused(answers)) or _forgetful(said)
    if problem:
        raise _unfit(store, problem)
    _warn(store, said)


def _unfit(store: Store, problem: str) -> StoreUnfitError:
    return StoreUnfitError(f"The store at {shown(store.url)} {problem} {GUIDE}")


def try_again(store: Store) -> None:
    """Try a store that has been away: it may be another one. What is wrong is logged, for the lab goes on."""
    try:
        try_store(store)
    except StoreUnfitError as error:
        log.error("store is not fit for a lab any more error=%s", error)
    except StoreUnavailableError:
        return  # who needs it says so


def tried() -> set[str]:
    """The name of every command that is tried; tests hold it against those that labkit uses."""
    every = [*_in_a_script(str), *_by_themselves(str, 1), *_listening(str)]
    return {str(words[0]) for words in every}


def _keys_of_a_trial(store: Store) -> Callable[[str], str]:
    own = f"trial-{secrets.token_hex(8)}"
    return lambda kind: store.keys.of("reply", f"{own}/{kind}")


def _in_a_script(key: Callable[[str], str]) -> list[Command]:
    """What scripts use, and what is used by itself and may stand in one. In an order in which each finds what it needs;
    one element of the list and of the stream are left for those that wait for one."""
    fields, items, scores, stream, channel = map(key, ("fields", "items", "scores", "stream", "channel"))
    return [
        ("TIME",),
        ("HSET", fields, "a", "1"),
        ("HSETNX", fields, "b", "1"),
        ("HINCRBY", fields, "a", "1"),
        ("HGET", fields, "a"),
        ("HMGET", fields, "a", "b"),
        ("HGETALL", fields),
        ("HKEYS", fields),
        ("HDEL", fields, "b"),
        ("RPUSH", items, "a", "b", "c", "d"),
        ("LPUSH", items, "e"),
        ("LLEN", items),
        ("LRANGE", items, "0", "-1"),
        ("LREM", items, "0", "b"),
        ("LPOP", items),
        ("RPOP", items),
        ("ZADD", scores, "1", "a"),
        ("ZSCORE", scores, "a"),
        ("ZRANGE", scores, "0", "-1", "WITHSCORES"),
        ("ZRANGEBYSCORE", scores, "-inf", "2", "LIMIT", "0", "1"),
        ("ZREM", scores, "b"),
        ("XADD", stream, "MINID", "=", "0-1", "1-1", "a", "1"),
        ("XRANGE", stream, "(0-1", "+", "COUNT", "1"),
        ("XREVRANGE", stream, "+", "-", "COUNT", "1"),
        *(("EXPIRE", one, "60") for one in (fields, items, scores, stream)),
        ("TTL", fields),
        ("EXISTS", fields),
        ("PUBLISH", channel, ""),
        ("PUBSUB", "NUMSUB", channel),
    ]


def _by_themselves(key: Callable[[str], str], replicas: int) -> list[Command]:
    """What can't stand in a script, or leaves nothing behind."""
    kept = [key(kind) for kind in ("fields", "items", "scores", "stream")]
    return [
        ("EVALSHA", hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest(), "0"),
        ("EVAL", "return 1", "0"),
        ("BLPOP", kept[1], "0.01"),
        ("XREAD", "COUNT", "1", "BLOCK", "1", "STREAMS", kept[3], "0-0"),
        ("MULTI",),
        ("EXEC",),
        *([("WAIT", "0", "1")] if replicas else ()),
        ("DEL", *kept),
    ]


def _listening(key: Callable[[str], str]) -> list[Command]:
    """The last of all: where only the second one is refused, nothing else could follow."""
    return [("SUBSCRIBE", key("channel")), ("UNSUBSCRIBE", key("channel"))]


def _evaluated(key: Callable[[str], str], commands: Sequence[Command]) -> Command:
    keys = [key(kind) for kind in ("fields", "items", "scores", "stream")]
    words = [word for one in commands for word in (str(len(one)), *one)]
    return ("EVAL", _SCRIPT, str(len(keys)), *keys, *words)


_ABOUT: Sequence[Command] = (
    ("INFO", "server"),
    ("INFO", "memory"),
    ("INFO", "replication"),
    ("CONFIG", "GET", "maxmemory*"),
)
"""What a store says of itself; each may be forbidden."""


def _refused(answers: Sequence[tuple[Command, Any]]) -> list[tuple[str, str]]:
    """Every command that was refused, with the store's words."""
    words = answers[0][1] if isinstance(answers[0][1], list) else []
    in_script = [text(word) for word in words]
    by_itself = [(str(one[0]), str(answer)) for one, answer in answers if isinstance(answer, Exception)]
    left = [(name, why) for name, why in by_itself if name not in ("INFO", "CONFIG")]
    return [*zip(in_script[::2], in_script[1::2], strict=True), *left]


def _refusal(refused: Sequence[tuple[str, str]]) -> str:
    if not refused:
        return ""
    name, why = refused[0]
    others = sorted({other for other, _ in refused} - {name})
    more = f" (as well as {', '.join(others)})" if others else ""
    return f"refuses {name}{more}: {_shortened(why)} {_way_out(why)}"


def _shortened(why: str) -> str:
    """The store's words without where in our script it met them."""
    said = re.split(r"\.? script: [0-9a-f]{40}|, on @user_script", why)[0]
    return said.removeprefix("ERR ").removeprefix("ACL failure in script: ").rstrip(". ") + "."


def _way_out(why: str) -> str:
    ways = {
        r"READONLY|read.only": "That is a replica: have WEBLAB_REDIS_URL name the master, or Sentinels that know it.",
        r"OOM": "It is full: give it more memory (maxmemory), or less to keep.",
        r"NOAUTH|WRONGPASS|[Aa]uthentication|invalid username": (
            "Give WEBLAB_REDIS_URL the right user and password: redis://user:password@host:port/0."
        ),
        r"NOPERM|permission|can't run|can't access": (
            "Let its user run it (ACL SETUSER), for all keys and channels of the lab."
        ),
        r"MISCONF": "It can't write to its disk: see its log.",
        r"LOADING": "It is reading its data; try again in a moment.",
        r"NOREPLICAS": "Its min-replicas-to-write asks for more replicas than it has.",
        r"unknown command": "It is too old, or its rename-command hides it.",
    }
    return next(
        (way for pattern, way in ways.items() if re.search(pattern, why)), "Have WEBLAB_REDIS_URL name another."
    )


def _said(answers: Sequence[Any]) -> dict[str, str]:
    """What the store says of itself, by name; what it won't say is missing."""
    said: dict[str, str] = {}
    *infos, settings = answers
    for info in infos:
        if isinstance(info, bytes):
            pairs = (line.partition(":") for line in text(info).splitlines() if not line.startswith("#"))
            said |= {name: value for name, colon, value in pairs if colon}
    if isinstance(settings, list):
        flat = [text(item) for item in settings]
        said |= dict(zip((name.replace("-", "_") for name in flat[::2]), flat[1::2], strict=True))
    return said


def _too_old(said: Mapping[str, str]) -> str:
    version = said.get("redis_version", "")
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if not numbers or numbers >= OLDEST:
        return ""
    return f"is version {version}, and labkit needs Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey."


def _forgetful(said: Mapping[str, str]) -> str:
    policy = said.get("maxmemory_policy", "noeviction")
    if policy == "noeviction" or said.get("maxmemory") == "0":
        return ""
    return (
        f"throws keys away when its memory is full (maxmemory-policy {policy}), so it could forget who holds a bench. "
        f"Set its maxmemory-policy to noeviction."
    )


def _warn(store: Store, said: Mapping[str, str]) -> None:
    for fact in _unknown(said):
        log.warning("store does not say its %s; see to it that it is right store=%s", fact, shown(store.url))
    replicas = said.get("connected_slaves", "")
    if store.replicas and replicas.isdigit() and int(replicas) < store.replicas:
        log.warning("store has too few replicas, so no session starts have=%s want=%d", replicas, store.replicas)


def _unknown(said: Mapping[str, str]) -> Iterator[str]:
    if "redis_version" not in said:
        yield "version (6.2 or newer)"
    if "maxmemory_policy" not in said:
        yield "maxmemory-policy (noeviction)"
