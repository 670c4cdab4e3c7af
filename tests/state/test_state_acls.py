"""Who is allowed what, and what a list is made of."""

import pytest

from coord.model.acl import OPEN_ACL, READ_ONLY_ACL, Permission
from coord.model.errors import InvalidAclError
from coord.model.replies import AclReply, WhoAmIReply
from coord.model.requests import (
    CountDescendants,
    Create,
    Delete,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    SetAcl,
    SetData,
    WhoAmI,
)
from coord.state.acl import ENTRIES_MAX, allowed, fixed
from tests.state.world import ADDRESS, ANN, BOB, SUPER, World, code_of

ALL = 31


def only(perms: int, who: tuple[str, str] = ANN):
    return ((perms, *who),)


# ---- what a permission is for


OPERATIONS = [
    (Create("/p/new", b"", OPEN_ACL), "/p", Permission.CREATE),
    (Delete("/p/c"), "/p", Permission.DELETE),
    (SetData("/p", b""), "/p", Permission.WRITE),
    (SetAcl("/p", OPEN_ACL), "/p", Permission.ADMIN),
]
READING = [Exists("/p"), GetData("/p"), GetChildren("/p"), CountDescendants("/p")]


def _parent(acl) -> World:
    world = World()
    world.make("/p", "/p/c")
    world.do(SetAcl("/p", acl))
    return world


@pytest.mark.parametrize(("request_", "path", "needed"), OPERATIONS)
def test_each_write_needs_its_own_permission_and_no_other(request_, path, needed):
    assert _parent(only(int(needed))).code(request_, ANN) == 0
    assert _parent(only(int(needed))).code(request_, BOB) == -102
    assert _parent(only(ALL & ~int(needed))).code(request_, ANN) == -102


@pytest.mark.parametrize("request_", READING)
def test_reading_needs_read(request_):
    assert code_of(_parent(only(1)).read(request_, ANN)) == 0
    assert code_of(_parent(only(30)).read(request_, ANN)) == -102


def test_a_znodes_list_does_not_cover_its_children(world):
    world.make("/p", "/p/c")
    world.do(SetAcl("/p", only(ALL)))
    assert code_of(world.read(GetData("/p/c"))) == 0


def test_the_super_identity_passes_everywhere(world):
    world.make("/p", acl=only(0))
    assert world.code(SetData("/p", b""), SUPER) == 0
    assert code_of(world.read(GetAcl("/p"), SUPER)) == 0


def test_an_empty_stored_list_grants_all():
    assert allowed((), ALL, ())


# ---- schemes


@pytest.mark.parametrize(
    ("identifier", "address", "granted"),
    [
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.9.9/16", "10.1.2.3", True),
        ("10.2.0.0/16", "10.1.2.3", False),
        ("0.0.0.0/0", "10.1.2.3", True),
        ("0.0.0.0/0", "::1", False),
        ("fd00::/8", "fd12::7", True),
        ("fd00::/8", "fe80::7", False),
        ("10.1.0.0/16", "::ffff:10.1.2.3", True),
        ("10.1.0.0/16", "no address", False),
    ],
)
def test_an_ip_entry_matches_an_address_or_a_network(identifier, address, granted):
    assert allowed(((ALL, "ip", identifier),), 1, (("ip", address),)) is granted


@pytest.mark.parametrize(
    ("scheme", "identifier", "valid"),
    [
        ("world", "anyone", True),
        ("world", "someone", False),
        ("digest", "ann:hash", True),
        ("digest", "ann", False),
        ("digest", "ann:", False),
        ("digest", "ann:ha:sh", False),
        ("ip", "10.0.0.1", True),
        ("ip", "10.0.0.1/33", False),
        ("ip", "10.0.0.0/255.0.0.0", False),
        ("ip", "10.0.0", False),
        ("ip", "10.0.0.1/-1", False),
        ("ip", "::1/128", True),
        ("ip", "", False),
        ("super", "", False),
        ("super", "x:y", False),
        ("x509", "CN=ann", False),
        ("sasl", "ann", False),
        ("", "", False),
    ],
)
def test_an_entry_is_accepted_if_its_scheme_accepts_its_id(world, scheme, identifier, valid):
    assert world.code(Create("/a", b"", ((ALL, scheme, identifier),))) == (0 if valid else -114)


def test_one_bad_entry_refuses_the_list(world):
    assert world.code(Create("/a", b"", (*OPEN_ACL, (ALL, "sasl", "ann")))) == -114


def test_duplicates_are_removed_and_the_order_is_kept(world):
    entries = ((1, "world", "anyone"), (31, *BOB), (1, "world", "anyone"), (31, *ANN))
    world.make("/a", acl=entries)
    assert world.node("/a").acl == ((1, "world", "anyone"), (31, *BOB), (31, *ANN))


def test_auth_stands_for_every_identity_the_caller_has_proved(world):
    world.do(Create("/a", b"", ((ALL, "auth", ""),)), ANN, BOB, SUPER)
    assert world.node("/a").acl == ((ALL, *ANN), (ALL, *BOB))


def test_auth_of_a_caller_who_proved_nothing_is_invalid(world):
    assert world.code(Create("/a", b"", ((ALL, "auth", ""),))) == -114
    assert world.code(Create("/a", b"", ((ALL, "auth", ""),)), SUPER) == -114


def test_equal_lists_are_one_object_and_the_open_one_is_the_constant(world):
    world.make("/a", acl=((31, "world", "anyone"),))
    world.make("/b", acl=tuple([(1, "ip", "10.0.0.1")]))
    world.make("/c", acl=tuple([(1, "ip", "10.0.0.1")]))
    assert world.node("/a").acl is OPEN_ACL
    assert world.node("/b").acl is world.node("/c").acl


def test_permissions_are_stored_as_plain_integers():
    assert type(fixed(((Permission.READ, "world", "anyone"),), (), "/a")[0][0]) is int


# ---- getACL


def test_get_acl_needs_read_or_admin_and_hides_hashes_from_those_who_do_not_administer(world):
    acl = ((1, *BOB), (16, *ANN), (2, "ip", "10.1.2.3"))
    world.make("/a", acl=acl)
    assert world.read(GetAcl("/a"), ANN) == AclReply(acl, world.node("/a"))
    assert world.read(GetAcl("/a"), BOB).acl == ((1, "digest", "bob:x"), (16, "digest", "ann:x"), (2, "ip", "10.1.2.3"))
    assert code_of(world.read(GetAcl("/a"))) == -102


def test_the_config_can_be_read_by_all_and_written_by_none_but_super(world):
    assert world.read(GetAcl("/zookeeper/config")).acl == READ_ONLY_ACL
    assert world.code(SetData("/zookeeper/config", b"")) == -102
    assert world.code(SetData("/zookeeper/config", b""), SUPER) == 0


def test_a_list_has_a_limit_also_after_auth_became_many():
    many = tuple((31, "digest", f"user{number}:x") for number in range(ENTRIES_MAX))
    assert len(fixed(many, (), "/a")) == ENTRIES_MAX
    with pytest.raises(InvalidAclError, match="/a has 1001 entries, the most is 1000"):
        fixed((*many, (31, "digest", "one:more")), (), "/a")
    with pytest.raises(InvalidAclError, match="1001 entries"):
        fixed(((1, "auth", ""), *many), (ANN,), "/a")


def test_a_long_list_grants_what_its_entries_grant(world):
    long = (*((1, "digest", f"user{number}:x") for number in range(500)), (1, *ANN), (2, "ip", "11.0.0.0/8"))
    world.make("/a", acl=long)
    assert code_of(world.read(GetData("/a"), ANN)) == 0
    assert code_of(world.read(GetData("/a"), BOB)) == -102
    assert world.code(SetData("/a", b""), ("ip", "11.1.2.3")) == 0
    assert world.code(SetData("/a", b""), ("ip", "12.1.2.3")) == -102


# ---- what needs no permission


def test_ephemerals_and_own_identities_need_no_permission(world):
    world.make("/e", kind=1, acl=only(0))
    assert world.read(GetEphemerals("/")).paths == ["/e"]
    assert world.read(WhoAmI(), ANN) == WhoAmIReply([("digest", "ann"), ADDRESS])


def test_a_watcher_may_hear_of_what_it_may_read(world):
    assert world.machine.may_read((), OPEN_ACL)
    assert world.machine.may_read((ANN,), only(1))
    assert not world.machine.may_read((ANN,), only(30))
    assert not world.machine.may_read((BOB,), only(1))
    assert world.machine.may_read((SUPER,), only(0))
