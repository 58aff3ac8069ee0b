"""What a loop's main thread is told wakes it up, whichever thread the kernel gave the signal to."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import signal, threading
from labkit.loop.words import Words

told = []
with Words() as words:
    signal.signal(signal.SIGHUP, lambda *_: words.put("hung up"))
    go = threading.Event()
    other = threading.Thread(target=go.wait)
    other.start()
    threading.Timer(0.3, lambda: signal.pthread_kill(other.ident, signal.SIGHUP)).start()
    told.append(words.get())
    words.put("one")
    words.put("two")
    told.append(words.get())
    told += words.rest()
    go.set()
words.put("unheard")
print(told, words.rest())
"""


def test_signal_that_another_thread_got_wakes_the_main_thread_up() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "['hung up', 'one', 'two'] ['unheard']\n", done.stderr
