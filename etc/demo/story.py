"""What is shown: clients are served, one log has their addresses, a server goes and comes back."""

import http.client
import time
import urllib.request
from dataclasses import dataclass

import click
from farm import Farm, WebServer
from processes import wait_until

CLIENTS = tuple(f"127.0.0.{number}" for number in range(11, 17))
NEW_CLIENTS = ("127.0.0.21", "127.0.0.22")
_LOG_SECONDS = 10.0
"""Seconds to wait for the merged log; penlogd holds lines for about two to put them in order."""


class StoryError(Exception):
    """Something came out otherwise than the suite promises."""


@dataclass(slots=True, frozen=True)
class Visit:
    """A request and who answered it."""

    client: str
    url: str
    server: str


def tell(farm: Farm, status_url: str) -> None:
    """Show the main job from beginning to end.

    Raises:
        StoryError: a client or the log did not get what it should.
    """
    www1, www2 = farm.web_servers
    _introduce(farm)
    visits = _first_round(farm)
    _show_log(farm, visits, "2. One log of both servers, with the clients' addresses")
    click.echo("\nThe servers themselves saw pen's address only; the URL says who really asked.")
    _heading("3. penctl servers")
    click.echo(farm.penctl("servers"), nl=False)
    later = _failover(farm, www1, www2)
    later += _recovery(farm, www1)
    _show_log(farm, visits + later, "6. The log since then", shown_from=len(visits))
    _heading("7. The status page, by penstats")
    _show_status_page(status_url)


def stay(farm: Farm) -> None:
    """Keep all up until an interrupt; a program that ends by itself is an error."""
    click.echo(f"\nTry:  {farm.suite.program('penctl')} {farm.control} servers")
    click.echo("All stays up until you press Ctrl-C.")
    try:
        while True:
            farm.processes.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


def introduce_own(farm: Farm, status_url: str) -> None:
    """Show pen in front of the user's own servers."""
    click.echo(f"pen listens at {farm.listen}, for example http://{_in_url(farm.address)}/\n")
    click.echo(farm.penctl("servers"), nl=False)
    _show_status_page(status_url)


def _introduce(farm: Farm) -> None:
    click.echo("The pen suite's main job, on this machine alone\n")
    rows = [("pen", f"http://{_in_url(farm.address)}", "the address that clients know")]
    for server in farm.web_servers:
        address = f"http://{_in_url((server.host, server.port))}"
        rows.append((server.name, address, "a web server, logs through penlog"))
    rows.append(("penlogd", f"udp 127.0.0.1:{farm.log_port}", "makes their logs one log"))
    for name, address, role in rows:
        click.echo(f"  {name:<9}{address:<26}{role}")


def _first_round(farm: Farm) -> list[Visit]:
    _heading("1. Six clients ask for two pages each")
    rounds = [[_visit(farm, client, page) for client in CLIENTS] for page in ("first", "second")]
    click.echo("client       first page   second page")
    for first, second in zip(*rounds, strict=True):
        click.echo(f"{first.client:<13}{first.server:<13}{second.server}")
        if first.server != second.server:
            raise StoryError(f"{first.client} should have come back to {first.server}")
    names = {visit.server for visit in rounds[0]}
    if len(names) != len(farm.web_servers):
        raise StoryError(f"only {', '.join(names)} got clients")
    click.echo("\nNew clients go to the servers in turn, and each comes back to its own.")
    return rounds[0] + rounds[1]


def _failover(farm: Farm, stopped: WebServer, other: WebServer) -> list[Visit]:
    _heading(f"4. {stopped.name} stops")
    farm.processes.stop(stopped.child)
    visits = [_visit(farm, client, "third") for client in CLIENTS]
    _show_visits(visits)
    if any(visit.server != other.name for visit in visits):
        raise StoryError(f"with {stopped.name} down, {other.name} should have served everyone")
    click.echo(f"\nNobody noticed: {other.name} serves them all.")
    return visits


def _recovery(farm: Farm, stopped: WebServer) -> list[Visit]:
    _heading(f"5. {stopped.name} starts again")
    farm.restart(stopped)
    slot = farm.web_servers.index(stopped)
    farm.penctl("server", str(slot), "blacklist", "0")
    visits = [_visit(farm, client, "new") for client in NEW_CLIENTS]
    _show_visits(visits)
    if stopped.name not in {visit.server for visit in visits}:
        raise StoryError(f"{stopped.name} is back and should have got one of the new clients")
    click.echo("\npen tries a failed server again after 30 s, or at once when told so:")
    click.echo(f"penctl server {slot} blacklist 0")
    return visits


def _show_log(farm: Farm, visits: list[Visit], title: str, shown_from: int = 0) -> None:
    """Show the merged log when all visits are in it, each with its client."""
    _heading(title)
    complete = wait_until(lambda: farm.merged_log_text().count("\n") >= len(visits), _LOG_SECONDS)
    lines = farm.merged_log_text().splitlines()
    click.echo("\n".join(lines[shown_from:]))
    if not complete:
        raise StoryError(f"{len(lines)} of {len(visits)} lines are in the log")
    found = sorted((line.split()[0], line.split()[6]) for line in lines)
    if found != sorted((visit.client, visit.url) for visit in visits):
        raise StoryError("a line in the log has the wrong client")


def _show_status_page(url: str) -> None:
    """Tell the page's address, having seen that it is there."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
    except OSError as error:
        raise StoryError(f"the status page {url} cannot be had: {error}") from None
    click.echo(url)


def _visit(farm: Farm, client: str, page: str) -> Visit:
    """Ask pen for a page from a client's address."""
    url = f"/{page}.html?client={client}"
    connection = http.client.HTTPConnection(*farm.address, timeout=10, source_address=(client, 0))
    try:
        connection.request("GET", url, headers={"User-Agent": "demo"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise StoryError(f"{client} asked pen for {url} and got no answer: {error}") from None
    finally:
        connection.close()
    server = answer.getheader("X-Server")
    if answer.status != 200 or server is None:
        raise StoryError(f"{client} asked pen for {url} and got {answer.status} {answer.reason}")
    return Visit(client, url, server)


def _show_visits(visits: list[Visit]) -> None:
    click.echo("client       served by")
    for visit in visits:
        click.echo(f"{visit.client:<13}{visit.server}")


def _heading(title: str) -> None:
    click.echo(f"\n{title}\n{'-' * len(title)}")


def _in_url(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
