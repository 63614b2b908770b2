"""Machines of a test: network namespaces joined by a bridge or by cables, gone at its end."""

import contextlib
import itertools
import os
import subprocess


class Machine:
    """A network namespace: a machine with interfaces of its own."""

    def __init__(self, name):
        self.name = name
        _ip("netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        """Run ip(8) in it."""
        _ip("-n", self.name, *words)

    def inside(self, *command):
        """A command, as it is run in this machine."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(self, *command, seconds=20):
        """Run a command to its end; what it printed. Its failure is the test's."""
        done = self.attempt(*command, seconds=seconds)
        assert done.returncode == 0, f"{command} in {self.name}: {done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *command, seconds=20):
        """Run a command that may fail."""
        return subprocess.run(
            self.inside(*command), capture_output=True, text=True, timeout=seconds
        )

    def address(self, address, interface):
        """Give an interface an address, which works at once."""
        nodad = ["nodad"] if ":" in address else []
        self.ip("address", "add", address, "dev", interface, *nodad)
        self.ip("link", "set", interface, "up")

    def listens(self, port, protocol="tcp"):
        """Whether something in it listens on this port."""
        return self.run("ss", "-Hln", f"--{protocol}", "sport", "=", f":{port}") != ""

    def mac(self, interface):
        """The hardware address."""
        return self.run("cat", f"/sys/class/net/{interface}/address").strip()


class Network:
    """Makes machines, and removes them."""

    _numbers = itertools.count()

    def __init__(self):
        self._prefix = f"pen{os.getpid()}-{next(self._numbers)}-"
        self._machines = []

    def machine(self, name):
        """A machine without cables."""
        made = Machine(self._prefix + name)
        self._machines.append(made)
        return made

    def cable(self, one, other, here="eth0", there="eth0"):
        """Join two machines; `here` and `there` name the ends."""
        end = ["name", there, "netns", other.name]
        one.ip("link", "add", here, "type", "veth", "peer", *end)
        for machine, interface in ((one, here), (other, there)):
            machine.ip("link", "set", interface, "up")

    def switch(self, **machines):
        """Join machines by a switch: their eth0 get these addresses (keyword: the machine)."""
        switch = self.machine("switch")
        switch.ip("link", "add", "br0", "type", "bridge")
        # Where bridges ask the firewall, it would keep malformed packets from the test.
        call = [f"net.bridge.bridge-nf-call-{each}=0" for each in ("iptables", "arptables")]
        switch.run("sysctl", "-eqw", *call)
        switch.ip("link", "set", "br0", "up")
        made = {}
        for name, address in machines.items():
            made[name] = machine = self.machine(name)
            self.cable(machine, switch, there=name)
            machine.address(address, "eth0")
            switch.ip("link", "set", name, "master", "br0")
        return made

    def close(self):
        for machine in self._machines:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", machine.name)
        left = subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
        assert self._prefix not in left


def _ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


def start(peers, machine, name, command, port, protocol="tcp"):
    """Start a program in a machine and wait until it listens on the port."""
    ready = lambda: machine.listens(port, protocol)  # noqa: E731
    return peers.start(name, machine.inside(*command), ready)


def start_nginx(peers, machine, name, directives, *listens):
    """nginx that answers every request as the directives say, on these addresses."""
    folder = peers.folder / name
    folder.mkdir()
    folder.chmod(0o777)
    conf = folder / "nginx.conf"
    listening = "\n".join(f"listen {each};" for each in listens)
    conf.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;\n"
        "events {}\n"
        "http { access_log off;\n"
        f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"server {{ {listening}\n location / {{ {directives} }} }} }}\n"
    )
    port = listens[0].rpartition(":")[2]
    return start(peers, machine, name, ["/usr/sbin/nginx", "-c", conf], port)


def fetch(machine, url, *options):
    """A page's text."""
    return machine.run("curl", "-sS", "--max-time", 10, *options, url)
