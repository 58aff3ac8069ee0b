"""`fake new | status | dispose`: does what an RLMS does, to the running lab, so that an author can be a student."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from labkit.commands.failure import MISCONFIGURED, Failure, LabCommand
from labkit.commands.source import pass_lab

if TYPE_CHECKING:
    from labkit.commands.rlms_client import RlmsClient
    from labkit.lab import Lab

SESSION_FILE = Path(".fake_weblab_user_session_id")
"""In the current folder: the id of the last session that `fake new` started."""

url_option = click.option(
    "--url", help="Where the lab answers; by default SERVER_NAME, else where `labkit run` serves it."
)


@click.group()
def fake() -> None:
    """Be the RLMS: start, look at and end a session."""


@fake.command(cls=LabCommand)
@url_option
@click.option("--name", default="John Smith", show_default=True, help="Full name of the user.")
@click.option("--username", default="john", show_default=True, help="User name.")
@click.option(
    "--username-unique", default="john@institution", show_default=True, help="User name, unique in the world."
)
@click.option("--assigned-time", default=300.0, show_default=True, help="Length of the session in seconds.")
@click.option("--back", help="URL that the user goes back to; by default none.")
@click.option("--locale", default="en", show_default=True, help="Language of the user.")
@click.option("--experiment-name", default="mylab", show_default=True, help="Name of the experiment.")
@click.option("--category-name", default="Lab experiments", show_default=True, help="Category of the experiment.")
@click.option("--dont-open-browser", is_flag=True, help="Only print the URL.")
@click.option(
    "--client-initial-data", default="{}", metavar="JSON", help="What the RLMS's own page sends: a JSON object."
)
@click.option("--client-initial-data-file", type=click.File(encoding="utf-8"), help="The same, from a file.")
@pass_lab
def new(
    lab: Lab,
    /,
    url: str | None,
    back: str | None,
    dont_open_browser: bool,
    client_initial_data: str,
    client_initial_data_file: IO[str] | None,
    **user: Any,
) -> None:
    """Start a session and print the user's URL."""
    given = client_initial_data_file.read() if client_initial_data_file is not None else client_initial_data
    body = {"client_initial_data": client_data(given), "server_initial_data": server_data(**user), "back": back}
    answer = client(lab, url).start(body)
    keep_session(answer["session_id"])
    click.echo(f"\nThe session lasts {user['assigned_time']:g} s. Its user enters by:\n\n{answer['url']}\n")
    if lab.settings.timeout > 0:
        click.echo(f"Open it within {lab.settings.timeout:g} s: after that much silence the session ends.\n")
    if not dont_open_browser:
        from labkit.commands.browser import open_browser

        open_browser(answer["url"])


@fake.command(cls=LabCommand)
@url_option
@pass_lab
def status(lab: Lab, url: str | None) -> None:
    """Show the session's user, and when the RLMS is to ask again."""
    session_id = last_session()
    should_finish = client(lab, url).should_finish(session_id) if session_id else -1.0
    user = lab.user(session_id) if session_id else None
    if user is None or user.is_anonymous:
        click.echo(not_found())
        return
    click.echo(user)
    click.echo(f"Should finish: {should_finish:g}")
    for line in meaning(user, should_finish):
        click.echo(line)


@fake.command(cls=LabCommand)
@url_option
@pass_lab
def dispose(lab: Lab, url: str | None) -> None:
    """End the session."""
    session_id = last_session()
    if session_id is None:
        click.echo(not_found())
        return
    message = client(lab, url).dispose(session_id)
    click.echo(message)
    if message in ("Deleted", "Not found"):
        SESSION_FILE.unlink(missing_ok=True)


def client(lab: Lab, url: str | None) -> RlmsClient:
    from labkit.commands.address import address_of
    from labkit.commands.rlms_client import RlmsClient

    return RlmsClient(address_of(lab, url), lab.settings)


def keep_session(session_id: str) -> None:
    """Write the id down, readable by its owner only: who has it gets in."""
    SESSION_FILE.unlink(missing_ok=True)
    SESSION_FILE.touch(0o600)
    SESSION_FILE.write_text(session_id, "utf-8")


def last_session() -> str | None:
    """The id of the last session that `fake new` started here."""
    try:
        return SESSION_FILE.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def not_found() -> str:
    """What is said without a session, with the command as it is called here: `labkit fake` or `flask weblab fake`."""
    group = click.get_current_context().parent
    return f"Session not found. Start one with: {group.command_path if group is not None else 'labkit fake'} new"


def meaning(user: Any, should_finish: float) -> Iterator[str]:
    """The session in words. should_finish: what the RLMS is told."""
    record = user.record
    yield ""
    yield f"user       {user.full_name or user.username}"
    yield f"bench      {', '.join(record.fences) or 'none'}"
    if should_finish < 0:
        yield f"time left  none: the session is over ({record.reason or 'time'})"
    else:
        yield f"time left  {max(0.0, record.time_left):.0f} s; the RLMS is to ask again in {should_finish:g} s"


def client_data(text: str) -> dict[str, Any]:
    """Read --client-initial-data. Errors: `Failure` where it is no JSON object."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise Failure(f"The client's initial data is not JSON: {error}.", code=MISCONFIGURED) from None
    if not isinstance(data, dict):
        raise Failure(f"The client's initial data must be a JSON object, not {text}.", code=MISCONFIGURED)
    return data


def server_data(
    *,
    name: str,
    username: str,
    username_unique: str,
    assigned_time: float,
    locale: str,
    experiment_name: str,
    category_name: str,
) -> dict[str, Any]:
    """What an RLMS says of the user and of the time."""
    from datetime import UTC, datetime

    from labkit.clock import Clock

    now = Clock().now()
    return {
        "priority.queue.slot.length": str(assigned_time),
        "priority.queue.slot.start": datetime.fromtimestamp(now, UTC).isoformat(" "),
        "priority.queue.slot.start.timestamp": str(now),
        "request.username": username,
        "request.username.unique": username_unique,
        "request.full_name": name,
        "request.locale": locale,
        "request.experiment_id.experiment_name": experiment_name,
        "request.experiment_id.category_name": category_name,
    }
