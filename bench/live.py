"""Real senders in real time: loggers and pen tell a penlogd, over a network that loses.

    unshare -n .venv/bin/python bench/live.py --rate 1000 --seconds 10

Must run in a network namespace of its own (root), whose only interface, lo, is made a network with
an Ethernet's frames on which iptables(8) drops packets at random, of connections too, or resets
connections. Simulated lines are piped into penlog at the times when servers would log them, and
pen's records into pen's own sender (`pensender`); C's are datagrams, which pen sends and forgets.
Prints a row of JSON for each case.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.logtools import (
    Came,
    Senders,
    debians,
    judge,
    our,
    wait_until_listening,
    wait_until_read,
)
from bench.measure import cpu_ns
from bench.processes import free_port
from bench.traffic import FORMATS, PEN, Event, Simulation, Traffic, events

LATEST = 60.0
"""Seconds in which a sender must have delivered all after its last line."""

READY = 4.0
"""Seconds from the making of the traffic to its first request: all are up by then."""

SENDER = (sys.executable, str(Path(__file__).parent / "pensender.py"))


@dataclass(frozen=True, slots=True)
class Case:
    """Who speaks, and over what network.

    Attributes:
        name: For people.
        ours: Whether penlog, penlogd and pen's sender are ours, or C's.
        style: The format of lines.
        loss: Share of packets lost.
        resets: Share of packets of connections at which these are reset.
    """

    name: str
    ours: bool
    style: str
    loss: float = 0.0
    resets: float = 0.0


CASES = (
    Case("C", False, "common"),
    Case("C, 2 % lost", False, "common", loss=0.02),
    Case("ours, ports", True, "with ports"),
    Case("ours, ports, 2 % lost", True, "with ports", loss=0.02),
    Case("ours, ports, 2 % lost, 0.5 % reset", True, "with ports", loss=0.02, resets=0.005),
    Case("ours, %D", True, "with %D"),
    Case("ours, %D, 2 % lost", True, "with %D", loss=0.02),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a case.

    Attributes:
        case: Its name.
        asked: Requests that there were.
        lines: Lines written.
        right: Lines with the right client.
        lost: Requests without a line.
        doubled: Lines written again.
        dropped: Packets that the network lost.
        reset: Connections that it reset.
        resent: Segments that TCP sent again.
        penlog_cpu: Microseconds of CPU per line, of the loggers.
        penlogd_cpu: Of penlogd.
    """

    case: str
    asked: int
    lines: int
    right: int
    lost: int
    doubled: int
    dropped: int
    reset: int
    resent: int
    penlog_cpu: float
    penlogd_cpu: float


class Pipes:
    """Processes that read what is to be told from stdin, and pen's datagrams where it is C's."""

    def __init__(self, case: Case, simulation: Simulation, port: int, folder: Path) -> None:
        self._datagrams = Senders(port, paced=False)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.cpu = 0
        target = [PEN, str(port)]
        for host in simulation.hosts:
            spool = ["--spool", str(folder / f"spool.{host}")] if case.ours else []
            penlog = our("penlog") if case.ours else debians("penlog")
            self._start(host, [penlog, *spool, *target, host])
        if case.ours:
            self._start(PEN, [*SENDER, ":".join(target)])

    def _start(self, sender: str, command: Sequence[str]) -> None:
        self._processes[sender] = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)

    def __enter__(self) -> "Pipes":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._datagrams.__exit__()

    def tell(self, event: Event) -> None:
        """Have its sender send it."""
        process = self._processes.get(event.sender)
        if process is None:
            self._datagrams.send(event.sender, event.data)
        elif process.stdin is not None:
            process.stdin.write(event.data)

    def finish(self) -> None:
        """Have all end once they have delivered all; add up the CPU of the loggers."""
        for sender, process in self._processes.items():
            if process.stdin is not None:
                process.stdin.close()
            _await_end(process)
            if sender != PEN:
                self.cpu += cpu_ns(process.pid)
            if process.wait():
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}")


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process is a zombie, whose CPU clock can still be read."""
    deadline = time.monotonic() + LATEST
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        if time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} has not delivered all in {LATEST:.0f} s")
        time.sleep(0.02)


def run(case: Case, traffic: Traffic, folder: Path) -> Seen:
    """Play the traffic in real time."""
    simulation = Simulation(traffic, start=time.time() + READY)
    exchanges = list(simulation.exchanges())
    came, _ = events(simulation, exchanges, case.style)
    port, log, resent = free_port(PEN), folder / "merged", _resent()
    with ExitStack() as stack:
        network = stack.enter_context(_Network(case))
        daemon = stack.enter_context(_penlogd(case, port, log))
        pipes = stack.enter_context(Pipes(case, simulation, port, folder))
        _play(came, pipes)
        pipes.finish()
        wait_until_read(port)
        dropped, reset = network.counted()
        used = cpu_ns(daemon.pid)
        daemon.terminate()
        if daemon.wait(30):
            raise RuntimeError(f"penlogd ended with {daemon.returncode}")
    with log.open("rb") as lines:
        result: Came = judge(simulation, lines)
    return Seen(
        case.name, result.asked, result.lines, result.right, result.lost, result.doubled,
        dropped, reset, _resent() - resent, pipes.cpu / 1000 / result.asked,
        used / 1000 / result.asked,
    )  # fmt: skip


def _play(came: Sequence[Event], pipes: Pipes) -> None:
    """Tell all events at their times.

    Raises:
        RuntimeError: The first is late.
    """
    if came[0].when < time.time():
        raise RuntimeError("this machine is too busy: the traffic should have begun by now")
    for event in came:
        wait = event.when - time.time()
        if wait > 0.0005:
            time.sleep(wait)
        pipes.tell(event)


@contextmanager
def _penlogd(case: Case, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    form = ["--format", FORMATS[case.style]] if case.ours else []
    path = our("penlogd") if case.ours else debians("penlogd")
    process = subprocess.Popen([path, "-f", "-l", str(log), *form, str(port)])
    try:
        wait_until_listening(port)
        yield process
    finally:
        process.kill()
        process.wait()


class _Network:
    """The network, which loses packets while it is entered."""

    def __init__(self, case: Case) -> None:
        chance = ["-m", "statistic", "--mode", "random", "--probability"]
        self._rules: list[list[str]] = []
        if case.loss:
            self._rules.append([*chance, str(case.loss), "-j", "DROP"])
        if case.resets:
            reject = ["-j", "REJECT", "--reject-with", "tcp-reset"]
            self._rules.append(["-p", "tcp", *chance, str(case.resets), *reject])

    def __enter__(self) -> "_Network":
        for rule in self._rules:
            _iptables("-A", "INPUT", "-i", "lo", *rule)
        return self

    def __exit__(self, *_: object) -> None:
        _iptables("-F", "INPUT")

    def counted(self) -> tuple[int, int]:
        """Return how many packets were dropped, and how many connections reset."""
        counts = {"DROP": 0, "REJECT": 0}
        for row in _iptables("-nvxL", "INPUT").splitlines()[2:]:
            packets, _, target, *_ = row.split()
            counts[target] += int(packets)
        return counts["DROP"], counts["REJECT"]


def _iptables(*words: str) -> str:
    done = subprocess.run(["iptables", "-w", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"iptables {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _resent() -> int:
    """Return how many segments TCP has sent again (proc_net(5); of this namespace)."""
    names, values = (
        row.split() for row in Path("/proc/net/snmp").read_text().splitlines() if "Tcp:" in row
    )
    return int(values[names.index("RetransSegs")])


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES])
    asked = parser.parse_args()
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        sys.exit("live.py loses packets on purpose: run it as  unshare -n ... bench/live.py")
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
    traffic = Traffic(rate=asked.rate, count=int(asked.rate * asked.seconds), delay=0.0)
    for case in CASES:
        if not asked.case or case.name in asked.case:
            with tempfile.TemporaryDirectory(prefix="bench-live-") as folder:
                print(json.dumps(asdict(run(case, traffic, Path(folder)))), flush=True)


if __name__ == "__main__":
    main()
