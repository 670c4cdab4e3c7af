"""--admin and what belongs to it, as the command line takes it."""

import pytest

from coord.cli.admin import admin_of, read_token
from coord.cli.up import admin_addresses
from coord.server.config import Config
from coord.server.loading import SettingError, load_config
from coord.server.parsers import Address


def test_without_admin_nothing_runs_beside_the_server():
    assert admin_of(Config()) is None


def test_names_may_stand_with_brackets_dots_and_capitals():
    config = load_config({"admin": "0.0.0.0:8080", "admin_hosts": "Coord1., [::1],10.0.0.1,*"})
    assert config.admin_hosts == {"coord1", "::1", "10.0.0.1", "*"}


@pytest.mark.parametrize("hosts", ["a b", "http://a", "a..b", "a/b", 7])
def test_what_is_no_name_is_refused(hosts):
    with pytest.raises(SettingError, match="must be"):
        load_config({"admin": "0.0.0.0:8080", "admin_hosts": hosts})


@pytest.mark.parametrize(("name", "value"), [("admin_hosts", "coord1"), ("admin_token_file", "/tmp/token")])
def test_what_belongs_to_admin_is_refused_without_it(name, value):
    with pytest.raises(SettingError, match=rf"{name} {value} \(option .*\) is of no use without --admin"):
        load_config({name: value})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file"),
        (b"", "must hold one word of 16 to 1024 bytes"),
        (b"short\n", "must hold one word"),
        (b"two words of more than 16 bytes", "must hold one word"),
        (b"x" * 2000, "must hold one word"),
    ],
)
def test_a_file_without_a_token_is_refused_in_a_sentence(tmp_path, content, problem):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingError, match=problem):
        read_token(file)


def test_blanks_around_a_token_are_not_part_of_it(tmp_path):
    file = tmp_path / "token"
    file.write_bytes(b" 0123456789abcdef \r\n")
    assert read_token(file) == b"0123456789abcdef"


def test_each_server_of_up_has_an_admin_port_of_its_own():
    assert admin_addresses(Address("127.0.0.1", 8080), 3) == [Address("127.0.0.1", port) for port in (8080, 8081, 8082)]
    assert admin_addresses(None, 3) == []
