"""Real LDAP servers, and ldapsearch to ask them."""

import subprocess

from tests.ports import free_port
from tests.real.peers import accepts

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
database mdb
maxsize 10485760
suffix "dc=pen"
directory {folder}
"""
_ENTRY = """\
dn: dc=pen
objectClass: organization
objectClass: dcObject
o: pen
dc: pen
description: {name}
"""


class Slapd:
    """An slapd with one entry, whose description is its name."""

    def __init__(self, peers, name):
        self._peers = peers
        self.name = name
        self.port = free_port()
        self.folder = peers.folder / name
        self.folder.mkdir()
        self._configuration = self.folder / "slapd.conf"
        self._configuration.write_text(_CONFIGURATION.format(folder=self.folder))
        command = ["/usr/sbin/slapadd", "-f", self._configuration]
        entry = _ENTRY.format(name=name)
        subprocess.run(command, input=entry, text=True, check=True, capture_output=True)
        self.start()

    def start(self):
        url = f"ldap://127.0.0.1:{self.port}"
        command = ["/usr/sbin/slapd", "-f", self._configuration, "-h", url, "-d", "0"]
        self.peer = self._peers.start(self.name, command, lambda: accepts("127.0.0.1", self.port))


def ldapsearch(port):
    """The description that is found, or what ldapsearch says instead."""
    command = [
        "ldapsearch", "-x", "-LLL", "-o", "nettimeout=10", "-H", f"ldap://127.0.0.1:{port}",
        "-s", "base", "-b", "dc=pen", "description",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr
