"""Workers' sessions: limits over all of them, and bad news shared. No processes here."""

from functools import partial

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pen.core.address import resolve
from pen.core.session import Session
from pen.core.state import State
from pen.workers.sharing import Membership, ServerNews, join
from pen.workers.tally import Tally

NOW = 1000.0


def make_workers(count: int, told: list[tuple[int, ServerNews]], **server: int) -> list[State]:
    tally = Tally(count)
    states = []
    for number in range(count):
        state = State()
        state.settings.pending_max = 3000
        state.servers.slot(0).move("127.0.0.1", resolve("127.0.0.1", 80))
        for name, value in server.items():
            setattr(state.servers[0], name, value)
        tell = partial(lambda worker, news: told.append((worker, news)), number)
        join(state, Membership(number, tally, tell, wait=lambda: None))
        states.append(state)
    return states


def begin(state: State, client: str) -> Session | None:
    session = Session(client, 1)
    return session if state.sessions.begin(session, NOW) else None


def test_a_limit_holds_over_all_workers():
    one, other = make_workers(2, [], max=3)
    assert begin(one, "192.0.2.1")
    assert begin(other, "192.0.2.2")
    assert begin(one, "192.0.2.3")
    assert begin(other, "192.0.2.4") is None
    assert begin(one, "192.0.2.5") is None


def test_conn_max_is_for_all_together():
    one, other = make_workers(2, [])
    for state in (one, other):
        state.settings.conn_max = 3
    begin(one, "192.0.2.1")
    begin(other, "192.0.2.2")
    assert (one.sessions.room, other.sessions.room) == (1, 1)


def test_each_place_is_looked_for_anew():
    one, other = make_workers(2, [])
    for state in (one, other):
        state.settings.conn_max = 3
    accepted = 0
    for _ in one.sessions.places(one.sessions.room):
        begin(one, "192.0.2.1")
        begin(other, "192.0.2.2")  # at the same time
        accepted += 2
    assert accepted == 4, "not 6"


def test_clients_that_are_not_sessions_yet_count():
    one, other = make_workers(2, [])
    one.settings.conn_max = other.settings.conn_max = 3
    one.sessions.arriving += 2
    assert other.sessions.room == 1
    one.sessions.arriving -= 1
    assert other.sessions.room == 2


def test_who_has_his_share_leaves_what_is_free_to_those_who_wait():
    one, other, idle = make_workers(3, [])
    for state in (one, other, idle):
        state.settings.conn_max = 6
    sessions = [begin(one, "192.0.2.1") for _ in range(6)]
    assert other.sessions.room == 0, "its client waits"
    one.sessions.end(sessions.pop(), 0, 0)
    assert one.sessions.room == 0, "though one is free"
    assert other.sessions.room == 1
    assert begin(other, "192.0.2.2")
    one.sessions.end(sessions.pop(), 0, 0)
    assert one.sessions.room == 1, "for nobody waits now"


def test_fewer_places_than_workers_go_round():
    one, other = make_workers(2, [])
    one.settings.conn_max = other.settings.conn_max = 1
    for having, waiting in ((one, other), (other, one)) * 2:
        session = begin(having, "192.0.2.1")
        assert waiting.sessions.room == 0, "its client waits"
        having.sessions.end(session, 0, 0)
        assert having.sessions.room == 0, "though it is below its share now"
        assert waiting.sessions.room == 1


def test_workers_that_wait_for_one_place_do_not_block_each_other():
    one, *others = make_workers(3, [])
    for state in (one, *others):
        state.settings.conn_max = 1
    session = begin(one, "192.0.2.1")
    assert [state.sessions.room for state in others] == [0, 0]
    one.sessions.end(session, 0, 0)
    assert one.sessions.room == 0
    assert [state.sessions.room for state in others] == [0, 1], "the last one that looks has it"


def test_who_has_more_than_others_can_leaves_a_place_to_who_has_none():
    states = make_workers(8, [])
    for state in states:
        state.settings.conn_max = 9
    sessions = [begin(state, "192.0.2.1") for state in states[:4] for _ in range(2)]
    begin(states[4], "192.0.2.1")
    assert states[5].sessions.room == 0
    states[0].sessions.end(sessions[0], 0, 0)
    assert states[0].sessions.room == 0
    assert states[5].sessions.room == 1


def test_pending_max_is_divided():
    one, other = make_workers(2, [])
    one.settings.pending_max = other.settings.pending_max = 5
    assert (one.sessions.room, other.sessions.room) == (3, 3)
    begin(one, "192.0.2.1")
    assert (one.sessions.room, other.sessions.room) == (2, 3)


def test_bad_news_are_told_once_a_second():
    told: list[tuple[int, ServerNews]] = []
    one, _ = make_workers(2, told)
    for epoch in (1, 1, 1, 2):
        one.servers[0].banned_until = 0.0
        session = begin(one, "192.0.2.1")
        one.sessions.failed(session, NOW, epoch)
        one.sessions.end(session, 0, 0)
    assert [news.failed_at for _, news in told] == [1, 2]
    assert ServerNews.unpack(told[0][1].pack()) == told[0][1]


def test_a_failure_is_told_and_so_is_the_recovery():
    told: list[tuple[int, ServerNews]] = []
    one, other = make_workers(2, told)
    failing = begin(one, "192.0.2.1")
    one.sessions.failed(failing, NOW, 12345)
    number, news = told.pop()
    assert (number, news.slot, news.failed_at) == (0, 0, 12345)
    news.tell(other)
    assert not other.servers[0].available(NOW)
    other.servers[0].banned_until = 0.0
    other.sessions.accepted(begin(other, "192.0.2.2"))
    number, news = told.pop()
    assert (number, news.failed_at) == (1, 0)
    news.tell(one)
    assert one.servers[0].available(NOW)


def test_a_ban_by_hand_outlives_the_news():
    _, other = make_workers(2, [])
    other.servers[0].ban(60, NOW, by_hand=True)
    ServerNews(0, 0.0, 0).tell(other)
    assert not other.servers[0].available(NOW)


class Workers(RuleBasedStateMachine):
    """Sessions begin, fail and end anywhere; the tally always says what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.states = make_workers(3, [], max=5)
        self.sessions: list[tuple[State, Session]] = []

    @rule(worker=st.integers(0, 2), client=st.integers(1, 250))
    def begin(self, worker, client):
        session = begin(self.states[worker], f"192.0.2.{client}")
        if session is not None:
            self.sessions.append((self.states[worker], session))

    @rule(index=st.integers(0, 100))
    def end(self, index):
        if self.sessions:
            state, session = self.sessions.pop(index % len(self.sessions))
            state.sessions.end(session, 1, 2)

    @invariant()
    def the_limit_holds(self):
        assert sum(state.servers[0].connections for state in self.states) <= 5

    @invariant()
    def the_tally_is_true(self):
        for state in self.states:
            state.sessions.check()
            others = sum(len(s.sessions) for s in self.states if s is not state)
            assert state.sessions.room == state.settings.conn_max - len(state.sessions) - others


TestWorkers = Workers.TestCase
TestWorkers.settings = hypothesis_settings(max_examples=50, stateful_step_count=30, deadline=None)
