"""The units and logrotate file of etc/ work; the Apache tests use the others."""

import grp
import os
import pwd
import re
import shlex
import signal
import socket
import subprocess

import pytest

from tests.ports import free_port
from tests.real.farm import Farm
from tests.real.peers import ROOT, SUITE, accepts, receives, wait_for

UNITS = ROOT / "etc" / "systemd"


@pytest.mark.parametrize("name", ["pen.service", "penlogd.service"])
def test_systemd_finds_no_fault(name, tmp_path):
    unit = tmp_path / name
    unit.write_text((UNITS / name).read_text().replace("/usr/local/bin", str(SUITE)))
    command = ["systemd-analyze", "verify", "--man=no", unit]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.stdout + result.stderr, result.returncode) == ("", 0)


def command_of(name, replacements):
    """The command of a unit, with this machine's addresses and folders."""
    command = re.search(r"^ExecStart=(.*)$", (UNITS / name).read_text(), re.MULTILINE)[1]
    for old, new in replacements.items():
        assert old in command
        command = command.replace(old, str(new))
    return shlex.split(command)


@pytest.fixture
def penlogd(peers):
    """Run penlogd with its unit's command; gives the farm that it logs for."""
    farm = Farm(peers)
    replacements = {
        "/usr/local/bin": SUITE,
        "/var/log/pen/access.log": farm.merged_log,
        "/run/penlogd": peers.folder,
        " 10000": f" {farm.log_port}",
    }
    command = command_of("penlogd.service", replacements)
    peers.start("penlogd", command, lambda: receives(farm.log_port))
    return farm


def test_commands_of_the_units(penlogd, peers):
    farm, port = penlogd, free_port()
    www1, www2 = (farm.start_apache(f"www{n}", f"127.0.1.{n}") for n in (1, 2))
    replacements = {
        "/usr/local/bin": SUITE,
        "/run/pen": peers.folder,
        "192.0.2.10:10000": f"127.0.0.1:{farm.log_port}",
        " 80 ": f" 127.0.0.1:{port} ",
        "192.0.2.21:80": f"{www1.host}:{www1.port}",
        "192.0.2.22:80": f"{www2.host}:{www2.port}",
    }
    pen = peers.start(
        "pen", command_of("pen.service", replacements), lambda: accepts("127.0.0.1", port)
    )
    farm.port = port
    assert farm.get("127.0.0.20", "/p.html?1") in [(200, "www1\n"), (200, "www2\n")]
    pen.signal(signal.SIGHUP)
    pen.signal(signal.SIGUSR1)
    wait_for((peers.folder / "status.html").exists, "the status page")
    assert (peers.folder / "pen.pid").read_text().strip() == str(pen.pid)
    assert farm.get("127.0.0.20", "/p.html?2")[0] == 200
    logged = farm.wait_for_lines(2)
    assert [(client, url) for client, url, _ in logged] == [
        ("127.0.0.20", "/p.html?1"),
        ("127.0.0.20", "/p.html?2"),
    ]


def test_logrotate(penlogd, peers):
    """A line before the rotation is in the old file, one after it in the new."""
    farm = penlogd
    line = '127.0.0.1 - - [23/Nov/2026:16:00:00 +0000] "GET /{} HTTP/1.1" 200 1 "-" "-"\n'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as penlog:
        penlog.connect(("127.0.0.1", farm.log_port))
        penlog.send(line.format("before").encode())
        farm.wait_for_lines(1)
        rotate(farm, peers)
        wait_for(farm.merged_log.exists, "the new log file")
        penlog.send(line.format("after").encode())
        farm.wait_for_lines(1)
    assert [url for _, url, _ in farm.logged()] == ["/after"]
    assert "/before " in farm.merged_log.with_suffix(".log.1").read_text()


def rotate(farm, peers):
    """Run logrotate with the example."""
    text = (ROOT / "etc" / "logrotate" / "penlogd").read_text()
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    for old, new in {
        "/var/log/pen/access.log": farm.merged_log,
        "/run/penlogd": peers.folder,
        "su www-data adm": f"su {user} {group}",
    }.items():
        assert old in text
        text = text.replace(old, str(new))
    settings = peers.folder / "logrotate.conf"
    settings.write_text(text)
    settings.chmod(0o644)
    state = peers.folder / "logrotate.state"
    subprocess.run(["/usr/sbin/logrotate", "--force", "--state", state, settings], check=True)
