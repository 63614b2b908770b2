"""Real name servers, and dig and dnsperf to ask them."""

import re
import signal
import subprocess

from tests.ports import free_port
from tests.real.peers import receives

ZONE = "pen.test"

_CONFIGURATION = """\
options {{
    directory "{folder}";
    pid-file "{folder}/pid";
    session-keyfile "{folder}/session.key";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 port {port} {{ ::1; }};
    max-udp-size 4096;
    recursion no;
    dnssec-validation no;
    empty-zones-enable no;
}};
controls {{ }};
zone "{zone}" {{ type primary; file "zone"; }};
"""

_RECORDS = """\
$TTL 60
@     SOA ns hostmaster 1 60 60 60 60
@     NS  ns
ns    A   127.0.0.1
www   A   192.0.2.1
who   TXT "{name}"
large TXT {large}
"""

LARGE = 12
"""Strings of 250 bytes in one record: 3 KB, which needs EDNS and is cut into fragments."""


class Named:
    """A bind9 on a port of its own, on 127.0.0.1 and ::1; `who` is its name."""

    def __init__(self, peers, name):
        self._peers = peers
        self.name = name
        self.port = free_port()
        self.folder = peers.folder / name
        self.folder.mkdir()
        configuration = _CONFIGURATION.format(folder=self.folder, port=self.port, zone=ZONE)
        (self.folder / "named.conf").write_text(configuration)
        large = " ".join(f'"{letter * 250}"' for letter in "abcdefghijkl"[:LARGE])
        (self.folder / "zone").write_text(_RECORDS.format(name=name, large=large))
        self.start()

    def start(self):
        command = ["named", "-g", "-n", "1", "-c", self.folder / "named.conf"]
        self.peer = self._peers.start(self.name, command, self._serves)

    def _serves(self):
        return receives(self.port) and answers("127.0.0.1", self.port)

    def kill(self):
        self.peer.signal(signal.SIGKILL)
        self.peer.kill()


def dig(host, port, name="who", kind="TXT", *options):
    """What dig prints with +short; one try, so that a reply that is lost is seen."""
    command = ["dig", "+short", "+tries=1", "+time=5", *options]
    command += ["-p", str(port), f"@{host}", f"{name}.{ZONE}", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().strip('"')


def answers(host, port):
    return dig(host, port, "www", "A", "+time=1") == "192.0.2.1"


def dnsperf(folder, port, seconds, *options):
    """Start dnsperf, which asks for `www` again and again."""
    questions = folder / "questions"
    questions.write_text(f"www.{ZONE} A\n" * 1000)
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(questions)]
    command += ["-l", str(seconds), "-t", "2", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def outcome(process):
    """Questions sent, answered, and lost, when dnsperf has ended."""
    said, _ = process.communicate(timeout=60)
    words = ("sent", "completed", "lost")
    numbers = [re.search(rf"Queries {word}:\s+(\d+)", said) for word in words]
    assert all(numbers), said
    assert "NOERROR" in said, said
    return [int(number[1]) for number in numbers]
