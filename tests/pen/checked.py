"""pen, with its invariants checked at the end of each turn of its loop."""

from unittest import mock

from pen import cli, workers
from pen.engine import Engine


class CheckedEngine(Engine):
    def run(self) -> None:
        turn = self.reactor.turn

        def checked(longest: float) -> None:
            turn(longest)
            self.state.sessions.check()

        with mock.patch.object(self.reactor, "turn", checked):
            super().run()


if __name__ == "__main__":
    with mock.patch.object(workers, "Engine", CheckedEngine):
        cli.main()
