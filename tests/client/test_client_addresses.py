"""Connection strings, and the sentences for what is wrong in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.client.addresses import TcpAddress, UnixAddress, parse_addresses
from coord.model.errors import AddressError


@pytest.mark.parametrize(
    ("text", "addresses", "namespace"),
    [
        ("h1", [TcpAddress("h1", 2181)], ""),
        ("h1:2181,h2:2182", [TcpAddress("h1", 2181), TcpAddress("h2", 2182)], ""),
        (" h1:2181 , h2 ", [TcpAddress("h1", 2181), TcpAddress("h2", 2181)], ""),
        ("h1:2181/app", [TcpAddress("h1", 2181)], "/app"),
        ("h1:2181/", [TcpAddress("h1", 2181)], ""),
        ("coord://h1:1,h2:2/app/more", [TcpAddress("h1", 1), TcpAddress("h2", 2)], "/app/more"),
        ("[::1]:2181", [TcpAddress("::1", 2181)], ""),
        ("[fe80::1%eth0],h", [TcpAddress("fe80::1%eth0", 2181), TcpAddress("h", 2181)], ""),
        ("unix:/run/coord.sock", [UnixAddress("/run/coord.sock")], ""),
        ("unix:/a/b,h:1", [UnixAddress("/a/b"), TcpAddress("h", 1)], ""),
        (["h1:1", "unix:/a"], [TcpAddress("h1", 1), UnixAddress("/a")], ""),
    ],
)
def test_what_people_write_is_understood(text, addresses, namespace):
    assert parse_addresses(text) == (addresses, namespace)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "names no server"),
        ("/app", "names no server"),
        ([], "is empty"),
        ("h1:", "the port ''"),
        ("h1:0", "from 1 to 65535"),
        ("h1:65536", "from 1 to 65535"),
        ("h1:\u0661", "whole number"),
        ("h1:x/app", "the port 'x'"),
        (":2181", "names no host"),
        ("h1,,h2", "names no host"),
        ("a b:1", "names no host"),
        ("::1:2181", "in brackets"),
        ("[::1", "not closed"),
        ("[::1]2181", "not closed"),
        ("unix:", "names no socket"),
        ("http://h1:2181", "scheme"),
        ("h1:2181/app/", "the namespace cannot be used: the path '/app/' ends with '/'"),
        ("h1:2181/a//b", "the namespace cannot be used"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text, part):
    with pytest.raises(AddressError) as caught:
        parse_addresses(text)
    assert part in str(caught.value)


@given(st.text(max_size=40))
def test_whatever_is_given_there_are_addresses_or_an_address_error(text):
    try:
        addresses, namespace = parse_addresses(text)
    except AddressError:
        return
    if all(isinstance(each, TcpAddress) for each in addresses):
        assert parse_addresses(",".join(map(str, addresses)) + namespace) == (addresses, namespace)
