"""Stand-ins for pen that are real processes and real sockets."""

import socket
import subprocess
import sys
import textwrap
import threading

import pytest

PAGE = b"<!DOCTYPE html><html><title>Pen status page</title></html>\n"

# A process that a pid file may truly name: a Python running a script called pen, as ours is.
PEN_SCRIPT = """
    import os, signal, sys, time
    web_file, how = sys.argv[1:]
    saves = 0

    def rename(page):
        with open(web_file + ".new", "w") as file:
            file.write(page)
        os.rename(web_file + ".new", web_file)

    def in_place(page):
        with open(web_file, "w") as file:
            file.write(page)

    def in_pieces(page):
        with open(web_file, "w") as file:
            for character in page:
                file.write(character)
                file.flush()
                time.sleep(0.002)

    def half(page):
        in_place(page[:-9])

    def never(page):
        pass

    def end(page):
        sys.exit()

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    print("ready", flush=True)
    while signal.sigwait({signal.SIGUSR1}):
        saves += 1
        globals()[how](f"<html>{saves:03}</html>")
"""


@pytest.fixture
def start_pen(tmp_path):
    """Start a script called pen that writes web_file on USR1 in the given way."""
    started = []
    script = tmp_path / "pen"
    script.write_text(textwrap.dedent(PEN_SCRIPT))

    def start(web_file, how):
        argv = [sys.executable, str(script), str(web_file), how]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def control_port():
    """Serve one connection with a function of the socket; returns the address as text."""
    cleanups = []

    def serve(talk, family=socket.AF_INET, address=("127.0.0.1", 0)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.bind(address)
        listener.listen()

        def run():
            connection, _ = listener.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        cleanups.append((thread, listener))
        name = listener.getsockname()
        return name if isinstance(name, str) else f"[{name[0]}]:{name[1]}"

    yield serve
    for thread, listener in cleanups:
        thread.join(5)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture
def page():
    return PAGE
