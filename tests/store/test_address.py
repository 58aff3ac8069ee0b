"""A store's URL: what it names, and that nothing secret of it is shown."""

from __future__ import annotations

import pytest

from labkit.errors import InvalidConfigError
from labkit.store.address import sentinel_address, shown

SECRETS = (
    "redis://ada:s3cret@10.0.0.1:6379/0",
    "rediss://:s3cret@10.0.0.1:6379/0?ssl_cert_reqs=none&password=s3cret",
    "unix://:s3cret@/run/store.sock",
    "redis+sentinel://ada:s3cret@10.0.0.1:26379,10.0.0.2/main/0?sentinel_password=s3cret",
    "redis://ada:s3c@ret@10.0.0.1/0",
)


@pytest.mark.parametrize("url", SECRETS)
def test_neither_user_nor_password_is_shown(url: str) -> None:
    told = shown(url)
    assert "s3c" not in told
    assert "ada" not in told
    assert told.startswith(url.partition("://")[0])


def test_the_host_is_shown() -> None:
    assert shown("redis://ada:s3cret@10.0.0.1:6379/0") == "redis://10.0.0.1:6379/0"
    assert shown("unix:///run/store.sock") == "unix:///run/store.sock"


def test_a_url_without_sentinels_leads_to_the_store_itself() -> None:
    assert sentinel_address("redis://10.0.0.1:6379/0") is None


def test_a_url_of_sentinels_names_them_the_master_and_how_one_speaks_to_each() -> None:
    found = sentinel_address(SECRETS[3])
    assert found is not None
    assert found.sentinels == [("10.0.0.1", 26379), ("10.0.0.2", 26379)]
    assert (found.service, found.username, found.password) == ("main", "", "s3cret")
    assert found.direct == "redis://ada:s3cret@master/0"
    assert "s3cret" not in repr(found)


def test_a_url_of_sentinels_over_tls_keeps_its_options() -> None:
    found = sentinel_address("rediss+sentinel://[::1]:26380/main/2?ssl_ca_certs=/etc/ca.pem&sentinel_username=bob")
    assert found is not None
    assert found.sentinels == [("::1", 26380)]
    assert found.direct == "rediss://master/2?ssl_ca_certs=%2Fetc%2Fca.pem"
    assert found.username == "bob"


@pytest.mark.parametrize(
    "url", ["redis+sentinel:///main/0", "redis+sentinel://host:26379", "redis+sentinel://h:x/main"]
)
def test_a_url_without_sentinel_or_master_is_refused_with_one_that_is_right(url: str) -> None:
    with pytest.raises(InvalidConfigError, match="redis\\+sentinel://host:26379"):
        sentinel_address(url)
