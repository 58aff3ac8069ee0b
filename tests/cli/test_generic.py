"""The generic lab: settings, and credentials that nobody has to choose."""

from __future__ import annotations

import pwd
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.cli.credentials import NAMES, Credentials, keep_credentials
from labkit.cli.generic import generic_app
from labkit.cli.run import credentials_place
from labkit.errors import InvalidConfigError
from labkit.lab import Lab
from labkit.sessions import StartRequest, end_session, start_session
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.cli.program import BENCH, Place

USER: dict[str, Any] = {"username": "ada", "full_name": "Ada", "client_data": {}, "server_data": {}, "back": None}


def lab_of(folder: Path, **environment: str) -> Lab:
    lab: Lab = generic_app(folder, environment).extensions["weblab"].lab
    return lab


def serve(folder: Path, **environment: str) -> Lab:
    """As `labkit run` and `labkit web` begin."""
    lab = lab_of(folder, **environment)
    keep_credentials(lab.app)
    return lab


def test_environment_stands_above_the_file_and_the_file_above_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "labkit.toml").write_text('LABKIT_TITLE = "file"\nWEBLAB_TIMEOUT = 40\n')
    settings = lab_of(tmp_path, LABKIT_TITLE="environment", UNKNOWN="x").settings
    assert settings.title == "environment"
    assert settings.timeout == 40
    assert settings.poll_interval == 5


def test_lab_is_called_like_its_folder_and_lives_in_it(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    assert lab.title == tmp_path.name
    assert lab.instance == tmp_path / "instance"
    assert lab.devices_folder == tmp_path / "devices"


def test_declarations_are_those_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "bench-1.toml").write_text(BENCH)
    assert list(lab_of(tmp_path).catalog.benches) == ["bench-1"]


def test_credentials_that_are_missing_are_random_private_and_stay(tmp_path: Path) -> None:
    first, again = serve(tmp_path), lab_of(tmp_path)
    other = serve(tmp_path / "other", LABKIT_INSTANCE=str(tmp_path / "elsewhere"))
    assert len(first.settings.password) >= 30
    assert first.settings.password == again.settings.password != other.settings.password
    assert first.app.secret_key == again.app.secret_key != first.settings.password
    assert (tmp_path / "instance" / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "elsewhere" / "credentials.json").is_file()


def test_credentials_that_are_given_count(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, WEBLAB_USERNAME="ada", WEBLAB_PASSWORD="p", SECRET_KEY="s")
    assert (lab.settings.username, lab.settings.password, lab.app.secret_key) == ("ada", "p", "s")


def test_processes_that_come_at_once_get_the_same_credentials(tmp_path: Path) -> None:
    found: list[dict[str, str]] = []
    together = threading.Barrier(8)

    def come() -> None:
        together.wait()
        Credentials(tmp_path / "instance", {}).keep()
        found.append(dict(Credentials(tmp_path / "instance", {}).values))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({tuple(credentials.items()) for credentials in found}) == 1
    assert [path.name for path in (tmp_path / "instance").iterdir()] == ["credentials.json"]


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_text("{}"), lambda path: path.write_text("no"), lambda path: path.mkdir()]
)
def test_credentials_that_cannot_be_read_are_named(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    spoil(tmp_path / "credentials.json")
    with pytest.raises(InvalidConfigError, match=r"credentials in .*credentials\.json can't be"):
        Credentials(tmp_path, {})


def test_lab_that_is_only_looked_at_writes_no_credentials(tmp_path: Path) -> None:
    assert lab_of(tmp_path).settings.password != lab_of(tmp_path).settings.password
    assert list(tmp_path.iterdir()) == []


def test_lab_whose_credentials_are_all_given_writes_none(tmp_path: Path) -> None:
    lab = serve(tmp_path, **dict.fromkeys(NAMES, "given"))
    assert list(tmp_path.iterdir()) == []
    assert credentials_place(lab) == "in labkit.toml or the environment"


def test_place_of_credentials_is_the_file_where_it_is_used(tmp_path: Path) -> None:
    file = str(tmp_path / "instance" / "credentials.json")
    assert credentials_place(serve(tmp_path)) == file
    assert credentials_place(serve(tmp_path, WEBLAB_PASSWORD="p")) == file


WRITES = {
    "run": "from labkit.cli.only_run import OnlyRun as use",
    "credentials": "from labkit.cli.credentials import Credentials\ndef use(folder): Credentials(folder, {}).keep()",
}


@pytest.mark.parametrize("what", WRITES)
def test_folder_that_cannot_be_written_is_named_with_what_to_do(place: Place, ordinary_user: Any, what: str) -> None:
    place.folder.parent.chmod(0o755)
    place.folder.chmod(0o555)
    code = (
        f"from pathlib import Path\nfrom labkit.errors import InvalidConfigError\n{WRITES[what]}\nbecome_ordinary()\n"
        "try:\n    with use(Path(sys.argv[1])): pass\nexcept InvalidConfigError as error: print(error)"
    )
    user = pwd.getpwuid(ordinary_user.uid).pw_name
    assert ordinary_user.run(code, place.folder / "instance") == (
        f"The folder {place.folder} is not writable for {user} (Permission denied). A lab keeps its store and its "
        f"credentials in {place.folder}/instance. Make it writable, or name another folder by LABKIT_INSTANCE.\n"
    )


def test_first_page_says_which_lab_this_is_and_how_one_gets_in(tmp_path: Path, store_server: StoreServer) -> None:
    lab = on_a_store(tmp_path, store_server)
    answer = lab.app.test_client().get("/")
    assert answer.status_code == 200
    assert f"<h1>This is the lab {tmp_path.name}</h1>" in answer.text
    assert "labkit fake new" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    lab.close()


def test_first_page_leads_a_browser_with_a_session_on_and_no_other(tmp_path: Path, store_server: StoreServer) -> None:
    lab = on_a_store(tmp_path, store_server)
    session_id = start_session(lab, StartRequest(slot_start=None, slot_length=60, user=USER))
    browser = lab.app.test_client()
    browser.get(f"/callback/{session_id}")
    assert browser.get("/").location == "/labkit/"
    end_session(lab, session_id, EndReason.ADMIN)
    assert browser.get("/").status_code == 200
    lab.close()


def test_first_page_is_there_while_the_store_is_away(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, WEBLAB_REDIS_URL="redis://127.0.0.1:1/0")
    browser = lab.app.test_client()
    with browser.session_transaction() as session:
        session[lab.settings.session_id_name] = "some"
    assert browser.get("/").status_code == 200


def on_a_store(folder: Path, server: StoreServer) -> Lab:
    """A lab without devices on the store of the tests, under a prefix of its own, that only serves."""
    lab = lab_of(folder, WEBLAB_REDIS_URL=server.url, WEBLAB_REDIS_BASE=f"generic-{secrets.token_hex(4)}")
    lab.app.extensions["weblab"].serve_only()
    return lab
