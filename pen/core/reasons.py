"""Why a client got its server, or none: what `debug 2` tells. It looks and decides nothing."""

from pen.core.servers import Duty, Server
from pen.core.session import Session, Sessions
from pen.core.settings import Settings


def why(sessions: Sessions[Session], session: Session, now: float) -> str:
    """Why a session that has just begun got the server that is tried first."""
    server, table = session.server, sessions.servers
    if server is table.abuse:
        return f"the abuse server, for client_acl ({sessions.settings.client_acl}) denies it"
    if server is table.emergency:
        return f"the emergency server: {_all(sessions, session, now)}"
    if server is not session.initial:
        other = session.initial
        obstacle = _obstacle(sessions, other, session, now)
        return f"server {server.slot}, for server {other.slot} {obstacle}"
    if server.banned_until > now:
        return f"server {server.slot}, whose ban ends first, for all are banned"
    return f"server {server.slot}, {_chosen(sessions.settings, session)}"


def why_nobody(sessions: Sessions[Session], session: Session, now: float) -> str:
    """Why a client is closed at once."""
    if not sessions.selector.welcomes(session.address):
        return f"client_acl ({sessions.settings.client_acl}) denies it"
    return _all(sessions, session, now)


def _chosen(settings: Settings, session: Session) -> str:
    """By what the first server was chosen, in the order of `Selector.first`."""
    client = session.client
    tracks = not (settings.roundrobin or settings.hash_unsaved)
    if tracks and client is not None and client.server == session.server.slot:
        return "where it was before"
    if settings.prio:
        return f"which has the lowest prio ({session.server.prio})"
    if settings.weight:
        return "which has the lowest load for its weight"
    if settings.hash:
        return "by the hash of its address"
    return "whose turn it is"


def _all(sessions: Sessions[Session], session: Session, now: float) -> str:
    """What keeps each server from taking it."""
    return "; ".join(
        f"server {server.slot} {_obstacle(sessions, server, session, now)}"
        for server in sessions.servers
    )


def _obstacle(sessions: Sessions[Session], server: Server, session: Session, now: float) -> str:
    """What keeps a server from taking it, in the order in which it is asked."""
    if not server.in_use:
        return "is unset"
    if server.duty is not Duty.READY:
        return f"is in state {server.duty.value}"
    if server.banned_until > now:
        return f"is blacklisted for {server.banned_until - now:.0f} s more"
    if server.max and server.connections >= server.max:
        return f"is full ({server.connections} connections, max {server.max}, hard {server.hard})"
    if not sessions.acls.permits(server.acl, session.address):
        return f"has acl {server.acl}, which denies it"
    return "comes after those that were tried"
