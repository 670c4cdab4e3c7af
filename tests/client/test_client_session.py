"""The session in any order of events, by Hypothesis."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coord.client.calls import Call, WatchState
from coord.client.session import CONNECTED, SUSPENDED
from tests.client.session_pair import LIST, Pair, answered, events_of


class AnyOrder(RuleBasedStateMachine):
    """Calls, cancellations, broken connections in any order: all is done once, in order, and every watch sees all."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.pair.connect()
        self.pair.session._call_timeout_s = math.inf
        self.writes: list[Call] = []
        self.cancelled: set[bytes] = set()
        self.sent_when_cancelled: set[bytes] = set()
        self.reads: list[tuple[Call, int]] = []
        self.watches: list[tuple[WatchState, int]] = []

    @rule()
    def write(self):
        self.writes.append(self.pair.write(b"%d" % len(self.writes)))

    @rule()
    def read(self):
        self.reads.append((self.pair.read(), len(self.writes)))

    @rule()
    def somebody_else_writes(self):
        self.pair.server.change(b"-")

    @rule(data=st.data())
    def cancel(self, data):
        waiting = [each for each in self.writes if not each.done and each.wanted]
        if waiting:
            call = data.draw(st.sampled_from(waiting))
            call.give_up()
            self.cancelled.add(call.request.data)
            if call.number:
                self.sent_when_cancelled.add(call.request.data)

    @rule()
    def send(self):
        if self.pair.session.state == CONNECTED and (frame := self.pair.session.take(self.pair.now)):
            self.pair.server.receive(frame)

    @rule()
    def send_into_a_breaking_connection(self):
        self.pair.session.take(self.pair.now)
        self.pair.session.disconnected()

    @rule(frames=st.integers(1, 4))
    def deliver(self, frames):
        if self.pair.session.state == CONNECTED:
            for _ in range(frames):
                self.pair.deliver()

    @rule()
    def break_connection(self):
        self.pair.session.disconnected()

    @precondition(lambda self: self.pair.session.state == SUSPENDED)
    @rule()
    def reconnect(self):
        self.pair.connect()

    @precondition(lambda self: len(self.watches) < 3 and self.pair.server.zxid > 0)
    @rule()
    def watch(self):
        since = self.pair.server.zxid
        watch, _ = self.pair.session.watch(LIST, since, self.pair.now)
        self.watches.append((watch, since))

    @precondition(lambda self: self.watches)
    @rule()
    def unwatch(self):
        watch, _ = self.watches.pop()
        self.pair.session.unwatch(watch, self.pair.now)

    @rule()
    def tick(self):
        self.pair.session.tick(self.pair.now)

    @invariant()
    def the_servers_complain_of_nothing(self):
        assert self.pair.server.problems == []

    def teardown(self):
        if self.pair.session.state == SUSPENDED:
            self.pair.connect()
        for _ in range(3):
            self.pair.settle()
        done = [each for each in self.pair.server.done if each != b"-"]
        assert done == sorted(set(done), key=int), "each once, in the order of the calls"
        for call in self.writes:
            value = call.request.data
            if value not in self.cancelled:
                assert call.done
                assert call.error is None
                assert value in done
            elif value not in self.sent_when_cancelled:
                assert value not in done
        for call, before in self.reads:
            seen = [int(each) for each in answered(call).data.split(b",") if each not in (b"", b"-")]
            live = [n for n in range(before) if b"%d" % n in done]
            assert set(live) <= set(seen), "a read shows the session's earlier writes"
        for watch, since in self.watches:
            assert events_of(watch) == [each for each in self.pair.server.changes if each > since]


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_calls_cancellations_and_reconnects_in_any_order = AnyOrder.TestCase
