"""Where settings come from, which one counts, and the sentence each wrong one gets."""

import base64
import dataclasses
import hashlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coord.server.config import SETTINGS, Config
from coord.server.loading import SettingError, is_given, load_config
from coord.server.loading import misspelt_variables as misspelt
from coord.server.parsers import COSTLY_WORDS, WORDS, Address

THREE = "1=h1:3181,2=h2:3181,3=h3:3181"
DIGEST = "ann:" + base64.b64encode(hashlib.sha1(b"ann:secret").digest()).decode()


def refusal(arguments=None, environment=None, file=None):
    """The sentence that these settings get."""
    with pytest.raises(SettingError) as caught:
        load_config(arguments or {}, environment or {}, file)
    return str(caught.value)


@pytest.fixture
def toml(tmp_path):
    def write(text):
        file = tmp_path / "coord.toml"
        file.write_text(text)
        return file

    return write


# ---- defaults and where values come from


def test_without_settings_a_server_is_a_single_one_on_this_machine():
    config = load_config({})
    assert config == Config()
    assert (config.id, config.data, config.client) == (1, Path("coord-data"), ("127.0.0.1", 2181))
    assert (config.servers, config.voters, config.peer) == ((1,), (1,), None)


def test_the_command_line_goes_before_the_environment_before_the_file_before_the_default(toml):
    file = toml("heartbeat_ms = 51\nsettle_ms = 61\ntick_ms = 71\n")
    environment = {"COORD_HEARTBEAT_MS": "52", "COORD_SETTLE_MS": "62"}
    config = load_config({"heartbeat_ms": "53"}, environment, file)
    assert (config.heartbeat_ms, config.settle_ms, config.tick_ms) == (53, 62, 71)
    assert config.leader_timeout_ms == Config().leader_timeout_ms


def test_every_setting_has_a_default_that_its_own_parser_takes():
    for row in SETTINGS.values():
        if row.shown_default():
            assert row.parse(row.shown_default()) == row.default, row.name


def test_every_setting_has_a_row_with_a_unit_and_a_help():
    assert list(SETTINGS) == [each.name for each in dataclasses.fields(Config)]
    assert all(row.unit and row.help for row in SETTINGS.values())


def test_a_file_may_write_an_ensemble_as_a_table_and_lists_as_lists(toml):
    file = toml('id = 2\nobservers = [3]\nwords = ["ruok"]\n[ensemble]\n1 = "h1:1"\n2 = "h2:1"\n3 = "[::1]:1"\n')
    config = load_config({}, {}, file)
    assert config.ensemble == {1: ("h1", 1), 2: ("h2", 1), 3: ("::1", 1)}
    assert (config.voters, config.words) == ((1, 2), {"ruok"})


def test_other_variables_of_the_environment_do_not_matter():
    assert load_config({}, {"COORD_PORT_2181_TCP": "tcp://10.0.0.1:2181", "HOME": "/"}) == Config()


def test_a_variable_that_looks_like_a_setting_is_pointed_at():
    assert misspelt({"COORD_CLEINT": "x"}) == [
        "the environment variable COORD_CLEINT is not read; is COORD_CLIENT meant?"
    ]
    assert misspelt({"COORD_CLIENT": "x", "COORD_PORT_2181_TCP": "x", "CLEINT": "x"}) == []


# ---- forms of values


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:2181", ("127.0.0.1", 2181)),
        ("[::1]:2181", ("::1", 2181)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
        ("coord_1:2181", ("coord_1", 2181)),  # no DNS name, but containers are called so
        ("localhost.:2181", ("localhost.", 2181)),
        ("zoo-1.example.org:65535", ("zoo-1.example.org", 65535)),
    ],
)
def test_an_address_is_host_and_port_and_is_written_as_it_was_read(text, pair):
    client = load_config({"client": text}).client
    assert client == pair
    assert str(client) == text


def test_the_peer_address_is_by_default_this_servers_own_in_the_ensemble():
    assert load_config({"id": "2", "ensemble": THREE}).peer == Address("h2", 3181)
    assert load_config({"id": "2", "ensemble": THREE, "peer": "0.0.0.0:3181"}).peer == Address("0.0.0.0", 3181)


def test_the_costly_words_are_off_unless_asked_for():
    assert Config().words.isdisjoint(COSTLY_WORDS)
    assert load_config({"words": "*"}).words == set(WORDS)
    assert load_config({"words": "ruok, wchc"}).words == {"ruok", "wchc"}
    assert load_config({"words": ""}).words == set()


def test_the_super_digest_is_taken_and_never_shown():
    config = load_config({"super_digest": DIGEST})
    assert config.super_digest == DIGEST
    assert DIGEST not in repr(config)
    assert "c2VjcmV0" not in refusal({"super_digest": "ann:c2VjcmV0"})


@settings(max_examples=300)
@example("admin_token_file", "\n")
@given(st.sampled_from(list(SETTINGS)), st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.text()))
def test_whatever_is_given_a_setting_is_taken_or_refused_with_a_sentence(name, value):
    try:
        outcome = load_config({name: value})
    except SettingError as error:
        outcome = str(error)
    assert isinstance(outcome, Config) or SETTINGS[name].option in outcome or f"{name} " in outcome
    assert isinstance(outcome, Config) or "\n" not in outcome


# ---- wrong ones

WRONG = [
    ({"id": "0"}, "option --id: '0' is wrong: it must be a whole number from 1 to 255"),
    ({"id": "two"}, "option --id: 'two' is wrong"),
    ({"data": ""}, "option --data: '' is wrong"),
    ({"client": "2181"}, "option --client: '2181' is wrong: it must be HOST:PORT"),
    ({"client": ":2181"}, "option --client: ':2181' is wrong: it must be HOST:PORT"),
    ({"client": "localhost:0"}, "with a port from 1 to 65535"),
    ({"client": "a..b:2181"}, "no part of a host's name between dots is empty or over 63 bytes"),
    ({"client": f"{'x' * 70}.org:2181"}, "no part of a host's name between dots is empty or over 63 bytes"),
    ({"ensemble": "1=h1:1,2=.:1"}, "2=.:1 is not: it must be HOST:PORT"),
    ({"client": "a\0b:2181"}, "it must be HOST:PORT"),
    ({"client": "localhost:65536"}, "with a port from 1 to 65535"),
    ({"client": "::1:2181"}, "an IPv6 host stands in brackets"),
    ({"ensemble": "h1:1,h2:1"}, "it must be ID=HOST:PORT with commas between them"),
    ({"ensemble": "1=h1:1,0\n2"}, "'0\\n2=' is not: it must be a whole number"),
    ({"ensemble": "1=h1:1,2=h2"}, "2=h2 is not: it must be HOST:PORT"),
    ({"ensemble": "1=h1:1,1=h2:1"}, "it names the server 1 twice"),
    ({"ensemble": "1=h1:1,2=h1:1"}, "it gives the servers 1 and 2 one address, h1:1; each needs its own"),
    ({"ensemble": "1=h1:1,999=h2:1"}, "999=h2:1 is not: it must be a whole number from 1 to 255"),
    ({"observers": "4;5"}, "it must be server ids from 1 to 255 with commas between them"),
    ({"words": "ruok,kill"}, "kill is none of them"),
    ({"super_digest": "ann"}, "option --super-digest: the value (not shown) is wrong: it must be USER:BASE64"),
    ({"super_digest": "ann:gehört"}, "the SHA-1 of USER:PASSWORD"),
    ({"super_digest": "ann:c2VjcmV0"}, "the SHA-1 of USER:PASSWORD"),
    ({"frame_bytes_max": "1M"}, "option --frame-bytes-max: '1M' is wrong: it must be a whole number from 1024 to"),
    ({"connections_max": "-1"}, "option --connections-max: '-1' is wrong: it must be a whole number of at least 1"),
    ({"frame_timeout_s": "soon"}, "option --frame-timeout-s: 'soon' is wrong: it must be a number"),
    ({"frame_timeout_s": "nan"}, "it must be a number"),
    ({"frame_timeout_s": 10**400}, "it must be a number"),
    ({"frame_timeout_s": True}, "it must be a number"),
    ({"handshake_timeout_s": "inf"}, "it must be a number"),
    ({"log_level": "loud"}, "option --log-level: 'loud' is wrong: it must be debug or info or warning or error"),
    ({"log_format": "xml"}, "option --log-format: 'xml' is wrong: it must be text or json"),
    # settings that do not fit each other
    ({"id": "4", "ensemble": THREE}, f"id 4 (option --id) is not in the ensemble {THREE} (option --ensemble)"),
    ({"peer": "h1:3181"}, "peer h1:3181 (option --peer) is of no use without an ensemble"),
    ({"client": "h1:3181", "ensemble": THREE}, "client h1:3181 (option --client) is also peer h1:3181 (default)"),
    ({"client": "h2:3181", "ensemble": THREE}, "is the peer address of server 2 in the ensemble"),
    ({"observers": "4", "ensemble": THREE}, "observers 4 (option --observers): server 4 is not in the ensemble"),
    ({"observers": "1,2,3", "ensemble": THREE}, "observers 1,2,3 (option --observers) leaves no server that votes"),
    (
        {"session_timeout_min_ms": "70000"},
        "session_timeout_max_ms 60000 (default) is less than session_timeout_min_ms 70000 (option",
    ),
    ({"reply_bytes_max": "1048576"}, "is less than 2 times frame_bytes_max 1048575 (default)"),
    ({"peer_frame_bytes_max": "1048576"}, "peer_frame_bytes_max 1048576 (option --peer-frame-bytes-max) is less than"),
    ({"peer_outbox_bytes_max": "1048576"}, "is less than peer_frame_bytes_max 67108864 (default)"),
    ({"heartbeat_ms": "500"}, "leader_timeout_ms 1200 (default) is less than 3 times heartbeat_ms 500 (option"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG, ids=lambda part: str(part)[:60])
def test_a_wrong_option_is_refused_with_its_value_and_what_is_expected(arguments, sentence):
    assert sentence in refusal(arguments)


def test_a_wrong_variable_is_named_as_one():
    assert refusal({}, {"COORD_ID": "x"}).startswith("environment variable COORD_ID: 'x' is wrong: it must be a whole")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id = 300", "key 'id' in {file}: 300 is wrong: it must be a whole number from 1 to 255"),
        ("id = true", "key 'id' in {file}: True is wrong"),
        ("id = 1.0", "key 'id' in {file}: 1.0 is wrong"),
        ("frame_timeout_s = 1979-05-27", "is wrong: it must be a number"),
        ("words = [1]", "is wrong: it must be * or some of"),
        ("ensemble = [1]", "is wrong: it must be ID=HOST:PORT"),
        ("observers = {}", "is wrong: it must be server ids"),
        ("client = 2181", "key 'client' in {file}: 2181 is wrong: it must be HOST:PORT"),
        ("cleint = 'h:1'", "key 'cleint' in {file} is not a setting; is client meant?"),
        ("frame-bytes-max = 5000", "key 'frame-bytes-max' in {file} is not a setting; is frame_bytes_max meant?"),
        ("xyzzy = 1", "key 'xyzzy' in {file} is not a setting; coord serve --help lists what can be set"),
        ("id = ", "the settings file {file} is not TOML: "),
    ],
)
def test_a_wrong_key_of_the_file_is_named_with_the_file(toml, text, sentence):
    file = toml(text)
    assert sentence.format(file=file) in refusal({}, {}, file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    missing = tmp_path / "missing.toml"
    assert refusal({}, {}, missing) == f"the settings file {missing} cannot be read: No such file or directory"
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "is not TOML" in refusal({}, {}, tmp_path / "binary.toml")


def test_clients_may_come_by_a_unix_socket_and_at_several_addresses():
    config = load_config({"client": "unix:/run/coord.sock", "client_also": "[::1]:2181, unix:/tmp/c"})
    assert config.client == Address("/run/coord.sock", 0)
    assert config.client_also == (Address("::1", 2181), Address("/tmp/c", 0))
    assert str(config.client) == "unix:/run/coord.sock"


@pytest.mark.parametrize("value", ["unix:", "unix:relative", "unix:/" + "x" * 200, "unix:/a\n"])
def test_a_unix_socket_has_a_short_absolute_path(value):
    with pytest.raises(SettingError, match="absolute path"):
        load_config({"client": value})


def test_an_address_for_clients_is_given_once():
    with pytest.raises(SettingError, match="twice"):
        load_config({"client": "127.0.0.1:2181", "client_also": "127.0.0.1:2181"})
    with pytest.raises(SettingError, match="client_also"):
        load_config({"id": "1", "ensemble": "1=h1:3181", "client_also": "h1:3181"})


def test_it_is_known_whether_a_setting_was_given_and_by_whom_does_not_matter(tmp_path):
    file = tmp_path / "coord.toml"
    file.write_text('inspect = "super"\n')
    assert is_given("inspect", {"inspect": "super"}, {})
    assert is_given("inspect", {}, {"COORD_INSPECT": "super"})
    assert is_given("inspect", {}, {}, file)
    assert not is_given("inspect", {"id": "1"}, {"COORD_ID": "1"})
    assert not is_given("words", {}, {}, file)
