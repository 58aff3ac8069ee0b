"""The trial of a store at the start of a process: every command that labkit uses, and what it must not do."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import StoreUnavailableError, StoreUnfitError
from labkit.store import scripts, trial
from labkit.store.connection import Store
from labkit.store.trial import tried, try_again, try_store
from labkit.testing.store import StoreServer

FOLDER = Path(scripts.__file__).parent
PRODUCTION = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "move-to-production.md"
LISTENING = {"subscribe": "SUBSCRIBE", "unsubscribe": "UNSUBSCRIBE"}
"""Methods of redis-py that are commands."""
UNTRIED = {"INFO", "CONFIG", "WAIT"}
"""What a store may refuse, and what is used only where LABKIT_STORE_REPLICAS asks for it (it is tried then)."""


def used_by_scripts() -> set[str]:
    return {
        name for path in FOLDER.glob("lua/*.lua") for name in re.findall(r'redis\.p?call\("(\w+)"', path.read_text())
    }


def used_by_python() -> set[str]:
    """The first word of everything that is handed to something called command or together, or packed as a script."""
    found: set[str] = set()
    for path in FOLDER.glob("*.py"):
        if path.name in ("trial.py", "master.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                found |= set(words_of(node))
    return found


def words_of(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in LISTENING:
        yield LISTENING[name]
    if name in ("command", "together", "_packed"):
        for argument in call.args:
            # together(*(("HGETALL", key) for ...)) and command(["BLPOP", ...]) as well as command("HGET", ...)
            for inner in ast.walk(argument):
                if isinstance(inner, (ast.Tuple, ast.List)) and inner.elts:
                    yield from as_command(inner.elts[0])
        yield from as_command(call.args[0])


def as_command(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isupper():
        yield node.value


def test_every_command_that_labkit_uses_is_tried() -> None:
    scripted, plain = used_by_scripts(), used_by_python()
    assert {"HSET", "XADD", "LPOP", "ZADD"} <= scripted
    assert {"BLPOP", "XREAD", "HGETALL", "TIME", "MULTI", "EVALSHA", "EVAL", "SUBSCRIBE", "PUBLISH"} <= plain
    assert (scripted | plain) - tried() - UNTRIED == set()


def test_nothing_is_tried_that_labkit_does_not_use() -> None:
    assert tried() - used_by_scripts() - used_by_python() == set()


@pytest.fixture
def own(server: StoreServer) -> Iterator[Store]:
    """A store of this module's, and whoever may do everything with it puts it right again."""
    store = Store(server.url, "lab")
    yield store
    for name, value in (("maxmemory", "0"), ("maxmemory-policy", "noeviction")):
        store.command("CONFIG", "SET", name, value)
    store.command("REPLICAOF", "NO", "ONE")
    store.command("ACL", "DELUSER", "ada")
    store.close()


def as_ada(store: Store, server: StoreServer, *rules: str) -> Store:
    """The store as somebody sees it who may do everything but what the rules say."""
    store.command("ACL", "SETUSER", "ada", "reset", "on", ">s3cret", "~*", "&*", "+@all", *rules)
    return Store(server.url.replace("unix://", "unix://ada:s3cret@"), "lab")


def test_a_fit_store_is_left_as_it_was(own: Store, caplog: pytest.LogCaptureFixture) -> None:
    try_store(own)
    assert own.command("DBSIZE") == 0
    assert not caplog.records


@pytest.mark.parametrize("command", sorted(tried() - {"EXEC", "EVALSHA"}))
def test_a_store_that_refuses_a_command_is_named_with_it_and_without_its_password(
    own: Store, server: StoreServer, command: str
) -> None:
    store = as_ada(own, server, f"-{command.lower()}")
    store.replicas = 1  # so that WAIT is tried as well
    with pytest.raises(StoreUnfitError) as refused:
        try_store(store)
    store.close()
    assert f"refuses {command}" in str(refused.value)
    assert f"unix://{server.socket}" in str(refused.value)
    assert "ACL SETUSER" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)
    left = own.command("DBSIZE")
    own.command("FLUSHALL")
    assert left == 0 or command in ("DEL", "EVAL")


@pytest.mark.parametrize("rules", [("resetkeys", "~other:*"), ("resetchannels",)])
def test_a_store_that_refuses_the_labs_keys_or_channels_is_refused(
    own: Store, server: StoreServer, rules: tuple[str, ...]
) -> None:
    with pytest.raises(StoreUnfitError, match="ACL SETUSER"):
        try_store(as_ada(own, server, *rules))


def test_the_rules_for_a_user_that_the_documentation_gives_are_enough(
    own: Store, server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    line = next(line for line in PRODUCTION.read_text("utf-8").splitlines() if line.startswith("ACL SETUSER"))
    _, _, _, on, password, *rules = line.split()
    assert (on, password) == ("on", ">password")
    store = as_ada(own, server, "-@all", "resetkeys", "resetchannels", *rules)
    store.replicas = 1
    try_store(store)
    assert [record.getMessage() for record in caplog.records] == [
        "store has too few replicas, so no session starts have=0 want=1"
    ]


def test_a_wrong_password_is_told_with_what_to_do(own: Store, server: StoreServer) -> None:
    as_ada(own, server)
    with pytest.raises(StoreUnfitError, match="user and password") as refused:
        try_store(Store(server.url.replace("unix://", "unix://ada:wrong@"), "lab"))
    assert "wrong@" not in str(refused.value)


def test_a_store_that_throws_keys_away_is_refused_with_the_setting(own: Store) -> None:
    own.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try_store(own)  # it has no limit, so it never does
    own.command("CONFIG", "SET", "maxmemory", "100mb")
    with pytest.raises(StoreUnfitError, match=r"allkeys-lru.*Set its maxmemory-policy to noeviction"):
        try_store(own)


def test_where_config_is_forbidden_info_says_the_policy(own: Store, server: StoreServer) -> None:
    store = as_ada(own, server, "-config")
    try_store(store)
    own.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    own.command("CONFIG", "SET", "maxmemory", "100mb")
    with pytest.raises(StoreUnfitError, match="volatile-lru"):
        try_store(store)
    with pytest.raises(StoreUnfitError, match="volatile-lru"):
        try_store(as_ada(own, server, "-info"))


def test_what_nobody_may_read_is_said_in_the_log(
    own: Store, server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    try_store(as_ada(own, server, "-config", "-info"))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "version" in told[0]
    assert "maxmemory-policy" in told[1]
    assert "s3cret" not in "".join(told)


def test_a_full_store_is_told_as_full(own: Store) -> None:
    own.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnfitError, match="It is full"):
        try_store(own)


def test_a_replica_is_told_as_a_replica_and_counts_as_a_store_that_is_away(own: Store) -> None:
    own.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailableError, match="name the master, or Sentinels"):
        try_store(own)
    own.command("REPLICAOF", "NO", "ONE")
    try_store(own)  # the same process goes on as soon as it may


@pytest.mark.parametrize(("version", "fits"), [("6.0.16", False), ("5.0.7", False), ("6.2.0", True), ("10.0", True)])
def test_too_old_a_store_is_refused(version: str, fits: bool) -> None:
    problem: Any = trial._too_old({"redis_version": version})
    assert bool(problem) is not fits
    assert fits or version in problem


def test_a_store_with_too_few_replicas_is_said_in_the_log(own: Store, caplog: pytest.LogCaptureFixture) -> None:
    own.replicas = 2
    try_store(own)
    assert [record.getMessage() for record in caplog.records] == [
        "store has too few replicas, so no session starts have=0 want=2"
    ]


def test_a_store_that_comes_back_unfit_is_said_in_the_log_and_stops_nobody(
    own: Store, caplog: pytest.LogCaptureFixture
) -> None:
    own.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    own.command("CONFIG", "SET", "maxmemory", "100mb")
    try_again(own)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "allkeys-lru" in record.getMessage()
