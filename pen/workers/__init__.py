"""Several processes that serve the clients of one pen (`--workers`).

The nouns:

supervisor  the first process. It has the signals, the control port, the configuration and
            every listening socket; it serves no clients.
worker      a process with an engine of its own. The kernel steers a client, by its address
            alone, always to the same worker (`net.steering`), which therefore knows all that
            is to be known of that client: the table of clients falls into as many parts.
link        the way from the supervisor to a worker: calls, each with a reply (`calls`, `links`).
news        the way back, for what a worker finds out about servers; its end is the worker's.
tally       how many connections each worker has to each server, in memory that all see:
            limits hold over all workers.

A worker's end costs its own connections and what it remembered of its clients; its listening
socket, with whoever waits there, stays open in the supervisor and goes to the next worker.
"""

from pen.core.address import Resolve
from pen.core.errors import CommandError, UsageError
from pen.core.state import State
from pen.engine import Engine, Serving


def make_engine(state: State, find: Resolve) -> Serving:
    """One engine, or a supervisor with as many workers as the settings ask for.

    Raises:
        PenError: what cannot be had.
    """
    settings = state.settings
    if settings.workers <= 1:
        return Engine(state, find)
    from pen.workers.supervisor import Supervisor, refuse  # multiprocessing is nothing for one

    try:
        refuse(settings, settings)
    except CommandError as error:
        raise UsageError(str(error)) from None
    return Supervisor(Engine(state, find), find, settings.workers)
