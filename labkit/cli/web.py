"""`web`: serves the lab by gunicorn. Only serves; what owns hardware and runs tasks is `labkit loop`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from labkit.commands.failure import Failure, LabCommand
from labkit.commands.source import LabSource

if TYPE_CHECKING:
    import socket

WORKERS, THREADS = 1, 256
"""Web processes, and threads of each, where nobody says it."""
MASTER_GRACE = 4
"""Seconds after which gunicorn kills a worker that was asked to end."""

host_option = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0: all.")
port_option = click.option(
    "--port", default=5000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0: any."
)


@click.command(cls=LabCommand)
@host_option
@port_option
@click.option("--workers", default=WORKERS, show_default=True, type=click.IntRange(min=1), help="Web processes.")
@click.option(
    "--threads", default=THREADS, show_default=True, type=click.IntRange(min=2),
    help="Threads of each; an open page takes one, and one of eight is kept for other requests.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
@click.pass_context
def web(context: click.Context, host: str, port: int, workers: int, threads: int, quiet: bool) -> None:
    """Serve the lab's pages and its API for the RLMS.

    Only serves: run `labkit loop` beside it, as another service. Several may run on one store.
    """
    from labkit.commands.logs import QUIET

    check_lab(context)
    listening = listen(host, port)
    click.echo(f"Serving at {shown_url(listening)}  (Ctrl-C ends it)", err=True)
    descriptor = listening.detach()
    os.set_inheritable(descriptor, True)
    if quiet:
        os.environ[QUIET] = "1"
    os.execv(sys.executable, gunicorn(descriptor, workers=workers, threads=threads, quiet=quiet))


def check_lab(context: click.Context) -> None:
    """Load the lab once before anything is started, for the sake of clear errors; the workers find its credentials."""
    source = context.find_object(LabSource)
    if source is not None:
        from labkit.cli.credentials import keep_credentials

        keep_credentials(source.lab.app)
        source.lab.close()


def gunicorn(descriptor: int, *, workers: int = WORKERS, threads: int = THREADS, quiet: bool = False) -> list[str]:
    """The command line of gunicorn. descriptor: of the open socket."""
    options = {
        "--bind": f"fd://{descriptor}",
        "--worker-class": "gthread",
        "--workers": str(workers),
        "--threads": str(threads),
        "--graceful-timeout": str(MASTER_GRACE),
        "--log-level": "warning" if quiet else "info",
        "--forwarder-headers": "",  # else a header could name another path than the one that a proxy has looked at
        "--config": "python:labkit.cli.serving",
    }
    words = [word for option in options.items() for word in option]
    return [sys.executable, "-m", "gunicorn", "--no-control-socket", *words, "labkit.cli.serving:make_app()"]


def listen(host: str, port: int, *, or_any: bool = False) -> socket.socket:
    """Open the listening socket. or_any: any free port where this one is taken. Errors: `Failure`."""
    import errno
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE and or_any:
            return listen(host, 0)
        if error.errno == errno.EADDRINUSE:
            raise Failure(
                f"Port {port} of {host} is in use by another program. Stop that one, or choose another by --port."
            ) from None
        raise Failure(f"Can't serve at {host}, port {port}: {error.strerror or error}.") from None
    return listening


def url_of(listening: socket.socket) -> str:
    """The URL of a listening socket, as a program on this machine takes it."""
    return _url(listening, {"0.0.0.0": "127.0.0.1", "::": "::1"})


def shown_url(listening: socket.socket) -> str:
    """The URL as a person takes it, at another computer too where it listens on all addresses."""
    import socket

    if listening.getsockname()[0] not in ("0.0.0.0", "::"):
        return url_of(listening)
    kinds = [socket.AF_INET] if listening.family == socket.AF_INET else [socket.AF_INET6, socket.AF_INET]
    here = next(filter(None, map(own_address, kinds)), None) or socket.gethostname()
    return _url(listening, {"0.0.0.0": here, "::": here})


def own_address(kind: socket.AddressFamily) -> str:
    """This machine's address in its network, '' where it has none. Sends nothing.

    An address, not the machine's name: names of machines seldom mean anything to other ones.
    """
    import socket

    outside = "192.0.2.1" if kind == socket.AF_INET else "2001:db8::1"  # of nobody (RFC 5737, RFC 3849)
    with socket.socket(kind, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((outside, 9))
            return str(asking.getsockname()[0])
        except OSError:
            return ""


def _url(listening: socket.socket, names: Mapping[str, str]) -> str:
    host, port = listening.getsockname()[:2]
    host = names.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
