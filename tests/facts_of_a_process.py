"""A program that prints what it can see of its own process, as JSON. For test_prepared."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD)

if __name__ == "__main__":
    facts = {
        "arguments": sys.argv[1:],
        "original": sys.orig_argv,
        "path": sys.path,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "input": os.readlink("/proc/self/fd/0"),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "main": threading.current_thread() is threading.main_thread(),
        "signals": [getattr(signal.getsignal(number), "__name__", str(signal.getsignal(number))) for number in SIGNALS],
        "encodings": [sys.stdout.encoding, sys.stderr.errors, sys.getfilesystemencoding()],
        "warned": sys.warnoptions,
        "group": os.getpgid(0),
    }
    print(json.dumps(facts))
    print("a complaint", file=sys.stderr)
    sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
