"""What a running balancer used: CPU time, memory and system calls of its process tree."""

import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CPUCLOCK_SCHED = 2  # the kind of per-process CPU clock that clock_getcpuclockid(3) names
STRACE_DEADLINE = 10.0  # seconds for strace to attach, and to write its summary


def process_tree(pid: int) -> list[int]:
    """Find `pid` and all its living descendants, from /proc/PID/task/TID/children (proc(5))."""
    tree = [pid]
    for parent in tree:  # grows while we walk it
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            tree += [int(child) for child in children.read_text().split()]
    return tree


def cpu_ns(pid: int) -> int:
    """Read the CPU time of a process and its threads so far, user and system, in nanoseconds.

    Read from the process's own CPU clock, whose id is made as clock_getcpuclockid(3) makes it:
    /proc/PID/stat counts in ticks of 10 ms, too coarse for a round.
    """
    return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)


def tree_cpu_ns(pid: int) -> int:
    """Read the CPU time of `pid` and its living descendants, in nanoseconds."""
    return sum(cpu_ns(each) for each in process_tree(pid))


def waited_ns(pid: int) -> int:
    """Read how long a process was ready to run while others had its core, in nanoseconds.

    That is the second figure of /proc/PID/schedstat (sched-stats in the kernel's documentation).
    """
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])


def tree_pss_kib(pid: int) -> int:
    """Read the memory of the tree in KiB: proportional set size, shared pages count once."""
    return sum(_pss_kib(each) for each in process_tree(pid))


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError(f"/proc/{pid}/smaps_rollup has no Pss line")


@dataclass(slots=True)
class SystemCalls:
    """Calls by name, filled when the `count_system_calls` block ends."""

    calls: Counter[str] = field(default_factory=Counter)


@contextmanager
def count_system_calls(pid: int) -> Iterator[SystemCalls]:
    """Count the system calls of a process tree during the block, with strace(1).

    strace slows the tree several times over, so nothing timed may happen inside.

    Raises:
        RuntimeError: strace could not attach, or wrote no summary in time.
    """
    counted = SystemCalls()
    with tempfile.NamedTemporaryFile("r", prefix="strace-") as summary:
        command = ["strace", "-f", "-c", "-U", "calls,name", "-o", summary.name]
        for each in process_tree(pid):
            command += ["-p", str(each)]
        strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            _wait_until_traced(pid, strace)
            yield counted
        finally:
            strace.send_signal(signal.SIGINT)
            try:
                strace.communicate(timeout=STRACE_DEADLINE)
            except subprocess.TimeoutExpired:
                strace.kill()
                strace.communicate()
                raise RuntimeError(f"strace of {pid} did not end in time") from None
        counted.calls.update(parse_strace(Path(summary.name).read_text()))


def _wait_until_traced(pid: int, strace: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + STRACE_DEADLINE
    while not all(_is_traced(each) for each in process_tree(pid)):
        if strace.poll() is not None:
            complaint = strace.communicate()[1].strip()
            raise RuntimeError(f"strace cannot attach to {pid}: {complaint}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"strace did not attach to {pid} in {STRACE_DEADLINE:.0f} s")
        time.sleep(0.01)


def _is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    tracer = re.search(r"^TracerPid:\s*(\d+)$", status, re.MULTILINE)
    return tracer is not None and tracer[1] != "0"


def parse_strace(summary: str) -> Counter[str]:
    """Read calls by name from a summary that `strace -c -U calls,name` wrote."""
    calls: Counter[str] = Counter()
    for line in summary.splitlines():
        row = re.fullmatch(r"\s*(\d+)\s+(\w+)\s*", line)
        if row and row[2] != "total":
            calls[row[2]] += int(row[1])
    return calls
