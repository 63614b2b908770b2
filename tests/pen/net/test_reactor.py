"""A mistake of ours costs what met it, or, if that is asked for, ends it all with a core."""

import signal
import subprocess
import sys

import pytest

FAILING = """
import os, resource, sys
from pen.net.pollers import make_poller
from pen.net.reactor import Reactor

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
reactor = Reactor(make_poller("epoll"))
reactor.aborts = sys.argv[1] == "abort"
reader, writer = os.pipe()
os.write(writer, b"x")
reactor.add(reader, lambda mask: 1 / 0)
reactor.turn(1.0)
"""


@pytest.mark.parametrize(("word", "status"), [("abort", -signal.SIGABRT), ("go on", 0)])
def test_internal_error(word, status):
    command = [sys.executable, "-c", FAILING, word]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (result.returncode, "ZeroDivisionError" in result.stderr) == (status, True)
