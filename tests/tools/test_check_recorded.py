"""A client that records itself, against a real server that is killed and comes back."""

from coord.model.acl import OPEN_ACL
from coord.model.replies import DATA_CHANGED, DataReply, Failed
from coord.model.requests import (
    AddWatch,
    CheckVersion,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    SetData,
    Sync,
)
from tools.chaos.clients import KINDS
from tools.check.checks import check
from tools.check.history import Notified, Recorder, code_of, operations
from tools.check.recorded import RecordedClient
from tools.ensembles import CoordSoftware, Ensemble


def test_a_history_of_a_real_server_that_was_killed_is_right(tmp_path):
    recorder = Recorder()
    with Ensemble(CoordSoftware(), tmp_path, servers=1) as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        ports = [ensemble.members[1].client_port]
        one, other = RecordedClient(recorder, "one", ports), RecordedClient(recorder, "other", ports)
        assert not isinstance(one.call(Create("/k", b"1", OPEN_ACL)), Failed)
        assert not isinstance(other.call(GetData("/k", watch=True)), Failed)
        assert not isinstance(other.call(GetChildren("/", watch=True)), Failed)
        assert isinstance(other.call(Exists("/later", watch=True)), Failed)
        assert not isinstance(other.call(AddWatch("/k", 0)), Failed)
        one.call(SetData("/k", b"2"))
        assert other.listen()
        assert not isinstance(other.call(GetData("/k", watch=True)), Failed)

        ensemble.kill9(1)
        assert one.call(SetData("/k", b"3")) is None
        assert other.call(Sync("/")) is None
        ensemble.start(1)
        ensemble.wait_serving()
        assert one.reconnect()
        one.call(SetData("/k", b"4"))
        one.call(Create("/later", b"", OPEN_ACL))
        assert other.reconnect()
        seen = other.call(GetData("/k"), linearizable=True)
        assert isinstance(seen, DataReply)
        assert seen.data == b"4"
        one.close()
        other.close()
    told = [(each.event.kind, each.event.path, each.event.zxid == -1) for each in recorder.records
            if isinstance(each, Notified)]  # fmt: skip
    assert (DATA_CHANGED, "/k", True) in told
    found = operations(recorder.records)
    assert sum(each.reply is None for each in found) == 2
    findings = check(recorder.records).findings
    assert (findings.violations, findings.undecided, findings.notes) == ([], [], [])


def test_all_kinds_of_client_record_what_is_right(tmp_path):
    """With several requests in one go, and with multis that are done and that are not."""
    recorder = Recorder()
    with Ensemble(CoordSoftware(), tmp_path, servers=1) as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        for kind, make in KINDS.items():
            client = make(recorder, kind, [ensemble.members[1].client_port], 30_000)
            path = f"/{kind}"
            replies = client.call_all([Create(path, b"1", OPEN_ACL), SetData(path, b"2"), GetData(path), Delete("/no")])
            assert [code_of(each) for each in replies] == [0, 0, 0, -101]
            assert isinstance(replies[2], DataReply)
            assert replies[2].data == b"2"
            done = client.call(Multi((CheckVersion(path, 1), SetData(path, b"3"), Create(f"{path}/a", b"", OPEN_ACL))))
            not_done = client.call(Multi((SetData(path, b"4"), CheckVersion(path, 9), SetData(path, b"5"))))
            assert (code_of(done), code_of(not_done)) == (0, -103)
            assert tuple(client.call(GetChildren(path, False, True), linearizable=True).names) == ("a",)
            client.end()
    findings = check(recorder.records).findings
    assert (findings.violations, findings.undecided) == ([], [])
