"""Run our pen and count the interpreter's steps (byte code instructions) by function.

    python -P bench/steps.py COUNTS [pen's arguments]

Counting begins with the loop, so starting is not in it. When pen ends, COUNTS has a JSON object:
steps by function, as `module.function`. Counting slows pen some thirty times; a function's steps
do not depend on that, but how many events come with a wake-up does.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any


class Steps:
    """Counts steps by code object, in whatever is called after `begin`."""

    def __init__(self) -> None:
        self._counts: Counter[CodeType] = Counter()

    def begin(self) -> None:
        """Count in functions called from now on."""
        sys.settrace(self._called)

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:  # noqa: ARG002
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, arg: Any) -> Any:  # noqa: ARG002
        if event == "opcode":
            self._counts[frame.f_code] += 1
        return self._stepped

    def by_name(self) -> dict[str, int]:
        """Steps by module and function."""
        named: Counter[str] = Counter()
        for code, count in self._counts.items():
            named[f"{Path(code.co_filename).stem}.{code.co_qualname}"] += count
        return dict(named)


def main() -> None:
    """Serve as pen does, counting."""
    from pen.cli import main as pen
    from pen.net.reactor import Reactor

    counts = Path(sys.argv.pop(1))
    steps = Steps()
    run = Reactor.run

    def run_and_count(reactor: Reactor) -> None:
        steps.begin()
        run(reactor)
        sys.settrace(None)

    Reactor.run = run_and_count  # type: ignore[method-assign, assignment]
    try:
        pen()
    finally:
        counts.write_text(json.dumps(steps.by_name()))


if __name__ == "__main__":
    main()
