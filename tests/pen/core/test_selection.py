"""Which server is tried first, which next: sequences of clients, without sockets."""

import pytest

from pen.core.acl import parse_entry
from pen.core.address import resolve
from pen.core.servers import ABUSE_SLOT, EMERGENCY_SLOT, Duty, Server
from pen.core.session import CONNECTING, Session
from pen.core.state import State

EPOCH = 1_700_000_000


class World:
    """A pen's decisions; time stands still unless moved, and servers take whoever asks."""

    def __init__(self, *servers: dict, **settings: object) -> None:
        self.state = State()
        self.now = 1000.0
        for name, value in settings.items():
            assert hasattr(self.state.settings, name)
            setattr(self.state.settings, name, value)
        for slot, attributes in enumerate(servers):
            server = self.state.servers.slot(slot)
            server.move(f"10.0.0.{slot}", resolve(f"10.0.0.{slot}", 80))
            for name, value in attributes.items():
                setattr(server, name, value)

    def __getitem__(self, slot: int) -> Server:
        return self.state.servers[slot]

    @property
    def epoch(self) -> int:
        return EPOCH + int(self.now)

    def begin(self, address: str, port: int = 0) -> Session | None:
        session = Session(address, port)
        return session if self.state.sessions.begin(session, self.now) else None

    def fail(self, session: Session) -> int | None:
        """The server refuses; the slot tried next."""
        server = self.state.sessions.failed(session, self.now, self.epoch)
        if server is None:
            self.state.sessions.end(session, 0, 0)
        return None if server is None else server.slot

    def stay(self, address: str, port: int = 0) -> int | None:
        """A client comes and stays; its slot, or None if it is turned away."""
        session = self.begin(address, port)
        if session is None:
            return None
        self.state.sessions.accepted(session)
        self.state.sessions.check()
        return session.server.slot

    def visit(self, address: str, port: int = 0, dead: tuple[int, ...] = ()) -> int | None:
        """A client comes, meets servers that refuse, is served and leaves."""
        session = self.begin(address, port)
        if session is None:
            return None
        while session.server.slot in dead:
            if self.fail(session) is None:
                return None
        self.state.sessions.accepted(session)
        slot = session.server.slot
        self.state.sessions.end(session, 0, 0)
        self.state.sessions.check()
        return slot

    def visits(self, *addresses: str, **how: tuple[int, ...]) -> list[int | None]:
        return [self.visit(address, **how) for address in addresses]

    def add(self, slot: int, server: Server) -> Server:
        name = {EMERGENCY_SLOT: "emergency", ABUSE_SLOT: "abuse"}[slot]
        setattr(self.state.servers, name, server)
        return server

    def deny(self, number: int, address: str) -> None:
        self.state.acls.append(number, parse_entry(False, address, None))


def special(slot: int) -> Server:
    return Server(slot, resolve("10.0.9.9", 80), "10.0.9.9")


A, B, C, D = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"


def test_clients_in_turn_from_slot_0_and_each_back_to_its_own():
    world = World({}, {}, {})
    assert world.visits(A, B, C, D) == [0, 1, 2, 0]
    assert world.visits(D, C, B, A) == [0, 2, 1, 0]


def test_round_robin_counts_connections_not_clients():
    assert World({}, {}, roundrobin=True).visits(A, A, A, B) == [0, 1, 0, 1]


def test_a_client_away_longer_than_tracking_is_new():
    world = World({}, {}, tracking=60)
    assert world.visits(A, B) == [0, 1]
    world.now += 60
    assert world.visit(A) == 0
    world.now += 61
    assert world.visits(B, A) == [0, 1]


def test_a_client_stays_where_failover_put_it():
    world = World({}, {}, prio=True)
    assert world.visit(A, dead=(0,)) == 1
    world.now += 31
    assert world.visits(A, B) == [1, 0]


@pytest.mark.parametrize("prios", [(2, 1, 3), (2, 1, 1), (9, 0, 0)])
def test_the_lowest_prio_then_the_lowest_slot(prios):
    world = World(*({"prio": prio} for prio in prios), prio=True, weight=True, hash=True)
    assert world.visits(A, B) == [1, 1]


def test_failover_is_to_the_next_slot_not_the_next_best_prio():
    world = World({"prio": 2}, {"prio": 1}, {"prio": 3}, prio=True)
    assert world.visits(A, B, dead=(1,)) == [2, 0]


def test_weight_gives_shares_and_ties_go_to_the_lowest_slot():
    world = World({"weight": 1}, {"weight": 3}, {"weight": 0}, weight=True)
    assert [world.stay(f"192.0.2.{n}") for n in range(8)] == [0, 1, 1, 1, 0, 1, 1, 1]


def test_the_load_is_256_connections_by_weight_in_whole_numbers():
    world = World({"weight": 1000}, {"weight": 1}, weight=True)
    # 256 * 3 // 1000 is 0: as idle as the other.
    assert [world.stay(f"192.0.2.{n}") for n in range(6)] == [0, 0, 0, 0, 1, 0]


def test_weight_without_weights_finds_nobody_but_the_emergency_server():
    world = World({}, {}, weight=True)
    assert world.visit(A) is None
    world.add(EMERGENCY_SLOT, special(EMERGENCY_SLOT))
    assert world.visit(A) == EMERGENCY_SLOT


def test_hash_is_the_contract_of_paired_balancers():
    world = World({}, {}, {}, hash=True)
    #  127.0.0.1 is 0x0100007f little-endian; 256 is 1 modulo 3, so the bytes' sum counts.
    assert world.visits("127.0.0.1", "127.0.0.2", "10.1.2.3", "::ffff:127.0.0.1") == [2, 0, 1, 2]
    assert world.visit("2001:db8::5") == 5 % 3


def test_hash_with_round_robin_counts_the_port():
    world = World({}, {}, {}, hash=True, roundrobin=True)
    port = 0x1234  # 0x3412 on the wire read little-endian
    assert world.visit("127.0.0.1", port) == (0x0100007F ^ 0x3412) % 3
    assert world.visit("2001:db8::5", port) == 5 % 3


def test_a_hash_that_meets_a_dead_server_goes_to_the_next_slot():
    world = World({}, {}, {}, hash=True)
    assert world.visits("127.0.0.1", "127.0.1.0", dead=(2,)) == [0, 0]


def test_unsaved_hash_decides_each_time():
    world = World({}, {}, {}, hash=True, hash_unsaved=True)
    assert world.visit("127.0.0.1", dead=(2,)) == 0
    world.now += 31
    assert world.visit("127.0.0.1", 4321) == 2


def test_stubborn_tries_one_server_and_no_emergency():
    world = World({}, {}, stubborn=True)
    world.add(EMERGENCY_SLOT, special(EMERGENCY_SLOT))
    assert world.visits(A, B, dead=(0,)) == [None, 1]
    assert world.visit(A, dead=(1,)) is None


def test_failover_goes_round_once_then_to_the_emergency_server():
    world = World({}, {}, {})
    world.add(EMERGENCY_SLOT, special(EMERGENCY_SLOT))
    world.state.selector.turn = 1
    session = world.begin(A)
    assert session.server.slot == 1
    assert [world.fail(session) for _ in range(3)] == [2, 0, EMERGENCY_SLOT]
    assert world.fail(session) is None
    assert world.visit(B) == EMERGENCY_SLOT  # at once: all are blacklisted


def test_the_emergency_server_is_not_remembered():
    world = World({})
    world.add(EMERGENCY_SLOT, special(EMERGENCY_SLOT))
    assert world.visit(A, dead=(0,)) == EMERGENCY_SLOT
    world.now += 31
    assert world.visit(A) == 0


def test_denied_clients_get_the_abuse_server_or_nobody():
    world = World({}, {}, client_acl=1)
    world.deny(1, B)
    world.add(EMERGENCY_SLOT, special(EMERGENCY_SLOT))
    assert world.visits(A, B) == [0, None]
    world.add(ABUSE_SLOT, special(ABUSE_SLOT))
    assert world.visits(A, B) == [0, ABUSE_SLOT]
    assert world.visit(B, dead=(ABUSE_SLOT,)) is None


def test_a_servers_own_list_passes_clients_on():
    world = World({}, {"acl": 1}, {}, roundrobin=True)
    world.deny(1, A)
    assert world.visits(A, A, A) == [0, 2, 2]
    assert world.visits(B, B, B) == [0, 1, 2]
    assert not world[1].failed_at


def test_soft_limit_for_the_new_hard_limit_for_the_known():
    world = World({"max": 1, "hard": 3}, {})
    assert world.visits(A, B) == [0, 1]
    assert world.stay(C) == 0
    assert [world.stay(A) for _ in range(3)] == [0, 0, 1]
    assert world.stay(D) == 1
    assert (world[0].connections, world[1].connections) == (3, 2)


@pytest.mark.parametrize(("limits", "taken"), [({"hard": 1}, 3), ({"max": 2, "hard": 1}, 2)])
def test_hard_needs_max_and_never_lowers_it(limits, taken):
    world = World(limits)
    assert [world.stay(A) for _ in range(3)] == [0] * taken + [None] * (3 - taken)


def test_half_made_connections_count():
    world = World({"max": 1}, {"max": 1})
    sessions = [world.begin(A), world.begin(B)]
    assert [session.server.slot for session in sessions] == [0, 1]
    assert all(session.state is CONNECTING for session in sessions)
    assert world.visit(C) is None


def test_a_ban_by_failure_ends_in_time_and_shows_until_a_success():
    world = World({}, {}, roundrobin=True)
    assert world.visits(A, A, A, dead=(0,)) == [1, 1, 1]
    assert world[0].failed_at == EPOCH + 1000
    world.now += 30
    assert world.visits(A, A) == [0, 1]
    assert world[0].failed_at == 0


def test_changing_the_blacklist_time_leaves_bans_as_they_were_given():
    world = World({}, {}, roundrobin=True)
    world.visit(A, dead=(0,))
    world.state.settings.blacklist = 600
    world.now += 31
    assert world.visits(A, A) == [1, 0]


def test_a_ban_by_hand_outlasts_failures_and_successes():
    world = World({}, {})
    session = world.begin(A)  # server 0, half-made
    world[0].ban(600, world.now, by_hand=True)
    assert world.fail(session) == 1
    world.now += 599
    assert world.visits(B, C) == [1, 1]
    world.now += 1
    assert world.visit(D) == 0


def test_all_banned_by_failures_means_the_first_to_be_free():
    world = World({}, {}, roundrobin=True)
    assert world.visit(A, dead=(0,)) == 1
    world.now += 1
    assert world.visit(A, dead=(1,)) == 0
    assert world.visit(A) == 0


def test_whoever_fails_last_sends_its_client_to_the_first_to_be_free_once():
    world = World({}, {}, {}, roundrobin=True)
    assert world.visits(A, A, dead=(0, 1)) == [2, 2]
    world.now += 5
    session = world.begin(A)
    assert session.server.slot == 2
    assert [world.fail(session) for _ in range(3)] == [0, 1, None]


def test_a_ban_by_hand_keeps_even_the_last_resort_away():
    world = World({}, {})
    world[0].ban(600, world.now, by_hand=True)
    assert world.visit(A, dead=(1,)) is None
    assert world.visit(A) is None


def test_draining_keeps_the_known_and_takes_nobody_new():
    world = World({}, {})
    assert world.visits(A, B) == [0, 1]
    world[0].assign(Duty.DRAIN)
    assert world.visits(A, B, C, D) == [0, 1, 1, 1]
    world[0].assign(Duty.READY)
    assert world.visits(A, C, "192.0.2.5") == [0, 1, 0]


def test_down_means_nobody():
    world = World({}, {}, prio=True)
    assert world.visit(A) == 0
    assert world.stay(A) == 0
    world[0].assign(Duty.DOWN)
    assert world.visits(A, B) == [1, 1]
    assert world[0].connections == 1


@pytest.mark.parametrize("duty", [Duty.DRAIN, Duty.DOWN])
@pytest.mark.parametrize("mode", ["prio", "weight", "hash", "hash_consistent", "roundrobin"])
def test_no_way_of_choosing_gives_a_new_client_to_a_server_out_of_duty(duty, mode):
    world = World({"weight": 9, "prio": 1}, {"weight": 1, "prio": 9}, **{mode: True})
    world.state.settings.hash |= world.state.settings.hash_consistent
    world[0].assign(duty)
    assert {world.visit(f"192.0.{n}.1") for n in range(40)} == {1}


def test_servers_out_of_duty_are_no_last_resort():
    world = World({}, {})
    world[1].assign(Duty.DOWN)
    assert world.visits(A, A, dead=(0,)) == [None, None]
    assert world.visit(A) == 0
    world[0].assign(Duty.DRAIN)
    assert world.visits(A, B) == [0, None]


def test_slots_come_and_go_while_in_use():
    world = World({}, {})
    assert world.visits(A, B) == [0, 1]
    world.state.servers.slot(3).move("10.0.0.3", resolve("10.0.0.3", 80))
    assert world.visits(C, D) == [3, 0]  # slot 2 is unused
    world[1].move("0.0.0.0", resolve("0.0.0.0", 80))
    world.state.clients.forget_server(1)
    assert world.visits(B, C) == [3, 3]


def test_no_servers_no_service():
    for mode in ("prio", "weight", "hash", "hash_consistent", "roundrobin"):
        assert World(hash=True, **({mode: True} if mode != "hash" else {})).visit(A) is None


@pytest.mark.parametrize(
    ("count", "settings", "said"),
    [
        (2, {"weight": True}, "weight 0"),
        (2, {"weight": True, "prio": True}, None),
        (3, {"hash": True}, None),
        (2, {"hash": True}, "first byte"),
        (4, {"hash": True}, "first byte"),
        (4, {"hash": True, "hash_consistent": True}, None),
        (4, {"hash": True, "roundrobin": True}, None),
        (4, {}, None),
    ],
)
def test_settings_that_are_hardly_meant_are_told(count, settings, said):
    cautions = list(World(*({} for _ in range(count)), **settings).state.selector.cautions())
    assert len(cautions) == (said is not None)
    assert all(said in caution for caution in cautions)
