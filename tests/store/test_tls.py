"""A store that is reached by TLS, also by way of Sentinels: all kinds of connections, wrong certificates and URLs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from labkit.errors import InvalidConfigError, StoreUnavailableError
from labkit.store.connection import Store
from labkit.store.trial import try_store
from tests.ports import chosen_port
from tests.small_lab import SmallLab
from tests.store.fleet import NAME, Server, answer_of, opened
from tests.store.tls_ends import Authority, TlsEnd
from tests.toy import GUARD, wait_until

HERE = "IP:127.0.0.1"
PASSWORD = "s/cr?t@#"


class SecureStore:
    """A server and a Sentinel with passwords, each behind TLS; a second end leads to the same server. Use it as a
    context."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.authority = Authority(folder / "keys")

    def __enter__(self) -> SecureStore:
        with contextlib.ExitStack() as stack:
            self.server = self._server(stack, "store", "--save", "")
            self.sentinel = self._server(stack, "sentinel", str(self._conf()), "--sentinel")
            context = self.authority.issue("store", HERE)
            self.end, self.other_end = (stack.enter_context(TlsEnd(self.server.port, context)) for _ in range(2))
            self.sentinel_end = stack.enter_context(TlsEnd(self.sentinel.port, context))
            self.move_to(self.end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _conf(self) -> Path:
        path = self._folder / "sentinel.conf"
        path.write_text("")
        return path

    def _server(self, stack: contextlib.ExitStack, name: str, *arguments: str) -> Server:
        (self._folder / name).mkdir()
        server = Server(self._folder / name, name, *arguments, password=PASSWORD)
        stack.callback(server.end)
        return server

    def move_to(self, end: TlsEnd) -> None:
        """Have the Sentinel say from now on that the master is there, as after a fail-over."""
        ask = self.sentinel.client.execute_command
        with contextlib.suppress(Exception):
            ask("SENTINEL", "REMOVE", NAME)
        ask("SENTINEL", "MONITOR", NAME, "127.0.0.1", end.port, 1)

    def url(self, query: str = "", end: TlsEnd | None = None) -> str:
        """end: of the store, or None: by way of the Sentinel."""
        password, trusted = quote(PASSWORD, safe=""), query or f"ssl_ca_certs={self.authority.file}"
        if end is not None:
            return f"rediss://:{password}@127.0.0.1:{end.port}/0?{trusted}"
        more = f"&sentinel_password={password}"
        return f"rediss+sentinel://:{password}@127.0.0.1:{self.sentinel_end.port}/{NAME}/0?{trusted}{more}"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureStore]:
    with SecureStore(tmp_path_factory.mktemp("tls")) as made:
        yield made


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only Sentinel of these tests is not to be passed over where the machine stands still for a moment."""
    monkeypatch.setattr("labkit.store.master.ASK_SECONDS", GUARD)


def use_every_way(store: Store) -> None:
    """Ask by each kind of connection that a lab has, more than one of them at once, and much of it."""
    try_store(store)
    assert store.run("frames_watched") is not None
    large = b"\x00\xff" * 200_000  # many records of TLS, so that what has come is now and then a part
    store.command("SET", "{lab}:large", large)
    assert store.answers([("GET", "{lab}:large")] * 3) == [large] * 3
    came: list[object] = []
    waiting = threading.Thread(target=lambda: came.append(store.pop(["{lab}:list"], 30)))
    waiting.start()
    wait_until(lambda: store.together(("INFO", "clients"))[0]["blocked_clients"] == 1, "the wait")
    store.command("RPUSH", "{lab}:list", "x")
    waiting.join(GUARD)
    assert came == [("{lab}:list", b"x")]
    channels = store.channels()
    channels.listen(["{lab}:channel"], ())
    assert [message[0] for message in channels.wait(GUARD, 1)] == ["subscribe"]
    store.command("PUBLISH", "{lab}:channel", large)
    assert channels.wait(GUARD, 1) == [("message", "{lab}:channel", large)]
    channels.close()


def test_every_connection_speaks_tls_and_finds_the_store_behind_its_new_address(secure: SecureStore) -> None:
    with opened(secure.url()) as store:
        use_every_way(store)
        opened_by_now = secure.end.secure
        for _ in range(20):  # each by a connection that is there: what TLS says between answers is no end of it
            store.run("frames_watched")
        assert 4 <= secure.end.secure == opened_by_now
        secure.move_to(secure.other_end)
        secure.end.close()
        assert wait_until(lambda: answer_of(store, "STRLEN", "{lab}:large"), "the new address") == 400_000
        use_every_way(store)
        assert secure.sentinel_end.secure > 0
        assert secure.sentinel_end.plain == 0
        assert secure.other_end.secure >= 4
    with opened(secure.url(end=secure.other_end)) as store:
        use_every_way(store)


def test_a_lab_whose_store_is_reached_by_tls_serves_a_session(secure: SecureStore, tmp_path: Path) -> None:
    secure.move_to(secure.other_end)
    with SmallLab(tmp_path, secure.url(), devices=["toy"]) as lab:
        session = lab.up().start()
        assert lab.student(session).post(f"/callback/{session}/poll").get_json() == {"success": True}
        lab.dispose(session)
        lab.wait_free()
    assert secure.sentinel_end.plain == 0


def refusal(url: str) -> StoreUnavailableError:
    with opened(url) as store, pytest.raises(StoreUnavailableError) as away:
        store.run("frames_watched")
    assert not away.value.sent
    assert "s/cr" not in str(away.value)
    assert "s%2F" not in str(away.value)
    return away.value


def test_certificate_of_another_authority_is_refused_and_named_as_the_reason(
    secure: SecureStore, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    for end in (None, secure.other_end):
        error = refusal(secure.url(f"ssl_ca_certs={other.file}", end))
        assert "certificate verify failed" in str(error)


def test_certificate_of_another_host_is_refused_whatever_the_library_does_by_itself(secure: SecureStore) -> None:
    elsewhere = secure.authority.issue("elsewhere", "DNS:elsewhere.example")
    with TlsEnd(secure.server.port, elsewhere) as end:
        assert "127.0.0.1" in str(refusal(secure.url(end=end)))
        trusted = f"ssl_ca_certs={secure.authority.file}"
        for query in (f"{trusted}&ssl_check_hostname=false", "ssl_cert_reqs=none"):  # whoever says so may have it
            with opened(secure.url(query, end)) as store:
                store.run("frames_watched")


def test_address_that_asks_for_tls_where_there_is_none_is_told_to_be_the_reason(
    secure: SecureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.store.connection.ANSWER_SECONDS", 0.5)  # a server in the clear only waits for more
    monkeypatch.setattr("labkit.store.master.ASK_SECONDS", 0.5)
    password = quote(PASSWORD, safe="")
    assert "does the server speak it" in str(refusal(f"rediss://:{password}@127.0.0.1:{secure.server.port}/0"))
    url = secure.url().replace(str(secure.sentinel_end.port), str(secure.sentinel.port))
    assert "does the server speak it" in str(refusal(url))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("rediss://127.0.0.1:1/0?ssl_nonsense=1", "ssl_nonsense"),
        ("redis://127.0.0.1:1/0?ssl_ca_certs=/x", "ssl_ca_certs"),
        ("rediss://127.0.0.1:1/0?ssl_cert_reqs=perhaps", "perhaps"),
        ("rediss+sentinel://127.0.0.1:1/main/0?ssl_nonsense=1", "ssl_nonsense"),
        ("redis://127.0.0.1:1/0?db=x", "'db'"),
        ("unix+sentinel://127.0.0.1:1/main/0", "by TCP"),
        ("redis://ada:s3/cret@127.0.0.1:1/0", "%2F"),
        ("redis://ada:1/cret@127.0.0.1:1/0", "%2F"),
        ("redis://ada:s3?cret@127.0.0.1:1/0", "%2F"),
        ("redis://ada:s3#cret@127.0.0.1:1/0", "%2F"),
        ("redis://ada:s3[cret@127.0.0.1:1/0", "%2F"),
        ("redis+sentinel://ada:s3/cret@127.0.0.1:1/main/0", "%2F"),
        ("redis://127.0.0.1:x/0", "%2F"),
    ],
)
def test_url_that_is_wrong_is_a_mistake_of_the_configuration_and_tells_no_password(url: str, says: str) -> None:
    """Before anything connects: such a password would end in the middle, and another host be asked."""
    with pytest.raises(InvalidConfigError, match="WEBLAB_REDIS_URL") as wrong:
        Store(url, "lab")
    assert says in str(wrong.value)
    for secret in ("s3", "cret", "ada"):
        assert secret not in str(wrong.value)


def test_nobody_listens(secure: SecureStore) -> None:
    assert "Connection refused" in str(refusal(f"rediss+sentinel://127.0.0.1:{chosen_port()}/main/0"))
