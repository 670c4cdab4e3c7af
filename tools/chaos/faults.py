"""What may happen to an ensemble. A fault is one function and one row of FAULTS; seeds draw it by themselves.

A fault does its damage at once and returns how it ends, which is called some seconds later. It draws all chance from
the Random it is given, says what it did, and is harmless to a server that is down. Faults overlap: what one has taken
away another must not give back too early.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import TypeAlias

from tools.chaos.proxies import Link, Way
from tools.chaos.stage import Stage

End: TypeAlias = Callable[[], None]
Fault: TypeAlias = Callable[[Stage, Random], End]


def _nothing() -> None:
    pass


# ---- servers that stop


def kill_a_server(stage: Stage, random: Random) -> End:
    return _killed(stage, [random.choice(stage.servers)])


def kill_the_leader(stage: Stage, random: Random) -> End:
    return _killed(stage, _leader(stage))


def kill_several_servers(stage: Stage, random: Random) -> End:
    """Perhaps all of them."""
    return _killed(stage, random.sample(stage.servers, random.randint(2, len(stage.servers))))


def kill_a_server_again_and_again(stage: Stage, random: Random) -> End:
    """While it reads its disk, or is brought up."""
    id = random.choice(stage.servers)
    for _ in range(random.randint(1, 3)):
        _killed(stage, [id])()
        stage.rest(random.uniform(0.2, 1.0))
    return _killed(stage, [id])


def restart_a_server(stage: Stage, random: Random) -> End:
    return _restarted(stage, [random.choice(stage.servers)])


def restart_the_leader(stage: Stage, random: Random) -> End:
    return _restarted(stage, _leader(stage))


def freeze_a_server(stage: Stage, random: Random) -> End:
    return _frozen(stage, [random.choice(stage.servers)])


def freeze_the_leader(stage: Stage, random: Random) -> End:
    return _frozen(stage, _leader(stage))


def freeze_several_servers(stage: Stage, random: Random) -> End:
    return _frozen(stage, random.sample(stage.servers, random.randint(2, len(stage.servers))))


def fill_a_disk(stage: Stage, random: Random) -> End:
    """The server has to stop and say so, and to start again when there is room."""
    victims = [id for id in [random.choice(stage.servers)] if id in stage.up()]
    for id in victims:
        stage.say(f"no more room on the disk of server {id}")
        stage.fill_disk(id)

    def end() -> None:
        for id in victims:
            stopped = stage.make_room(id)
            stage.say(f"room on the disk of server {id} again; " + ("it had stopped" if stopped else "it runs"))

    return end


# ---- the network between servers


def isolate_a_server(stage: Stage, random: Random) -> End:
    return _apart(stage, random, [random.choice(stage.servers)])


def isolate_the_leader(stage: Stage, random: Random) -> End:
    return _apart(stage, random, _leader(stage))


def part_the_servers(stage: Stage, random: Random) -> End:
    return _apart(stage, random, random.sample(stage.servers, len(stage.servers) // 2))


def deafen_a_server(stage: Stage, random: Random) -> End:
    """Nothing reaches it, but the others hear it."""
    id = random.choice(_leader(stage) or stage.servers) if random.random() < 0.5 else random.choice(stage.servers)
    return _held(stage, stage.peer_ways(stage.servers, [id]), f"server {id} hears no other one")


def silence_a_server(stage: Stage, random: Random) -> End:
    """Nothing it says arrives, but it hears the others."""
    id = random.choice(_leader(stage) or stage.servers) if random.random() < 0.5 else random.choice(stage.servers)
    return _held(stage, stage.peer_ways([id], stage.servers), f"server {id} is heard by no other one")


def slow_links_between_servers(stage: Stage, random: Random) -> End:
    id, delay_s = random.choice(stage.servers), random.uniform(0.005, 0.25)
    ways = stage.peer_ways([id], stage.servers) + stage.peer_ways(stage.servers, [id])
    return _slow(stage, ways, delay_s, f"what server {id} says and hears is {delay_s * 1000:.0f} ms late")


def reset_links_between_servers(stage: Stage, random: Random) -> End:
    id = random.choice(stage.servers)
    stage.say(f"the connections of server {id} with others break")
    stage.proxies.reset(_links_of(stage, id))
    return _nothing


def close_links_between_servers_one_way(stage: Stage, random: Random) -> End:
    id = random.choice(stage.servers)
    stage.say(f"the connections of server {id} with others are closed in one direction")
    _close_one_way(stage, random, _links_of(stage, id))
    return _nothing


# ---- the network between clients and servers


def cut_off_a_client(stage: Stage, random: Random) -> End:
    name = random.choice(sorted({name for name, _ in stage.clients}))
    links = [link for (client, _), link in stage.clients.items() if client == name]
    return _held(stage, _both(links), f"nothing passes between client {name} and the servers")


def cut_off_all_clients_of_a_server(stage: Stage, random: Random) -> End:
    id = random.choice(stage.servers)
    return _held(stage, _both(_client_links(stage, id)), f"nothing passes between server {id} and clients")


def withhold_the_answers_of_a_server(stage: Stage, random: Random) -> End:
    """Requests arrive, and are done; nobody hears of it in time."""
    id = random.choice(stage.servers)
    ways = [link.back for link in _client_links(stage, id)]
    return _held(stage, ways, f"nothing server {id} says to clients arrives")


def slow_links_of_clients(stage: Stage, random: Random) -> End:
    id, delay_s = random.choice(stage.servers), random.uniform(0.005, 0.3)
    what = f"what clients and server {id} say to each other is {delay_s * 1000:.0f} ms late"
    return _slow(stage, _both(_client_links(stage, id)), delay_s, what)


def reset_links_of_clients(stage: Stage, random: Random) -> End:
    """At the worst moment: with requests and answers under way."""
    ids = random.sample(stage.servers, random.randint(1, len(stage.servers)))
    stage.say(f"the connections of clients with {_named(ids)} break")
    stage.proxies.reset([link for id in ids for link in _client_links(stage, id)])
    return _nothing


def close_links_of_clients_one_way(stage: Stage, random: Random) -> End:
    id = random.choice(stage.servers)
    stage.say(f"the connections of clients with server {id} are closed in one direction")
    _close_one_way(stage, random, _client_links(stage, id))
    return _nothing


# ---- what they have in common


def _leader(stage: Stage) -> list[int]:
    leader = stage.leader()
    return [] if leader is None else [leader]


def _named(ids: Sequence[int]) -> str:
    return f"server{'s' if len(ids) != 1 else ''} {', '.join(map(str, sorted(ids))) or '(none)'}"


def _killed(stage: Stage, ids: Sequence[int]) -> End:
    victims = [id for id in ids if stage.ensemble.is_running(id)]
    stage.say(f"kill -9 of {_named(victims)}")
    stage.kill(victims)
    return lambda: _started(stage, victims)


def _restarted(stage: Stage, ids: Sequence[int]) -> End:
    victims = [id for id in ids if id in stage.up()]
    stage.say(f"{_named(victims)} asked to stop")
    for id in victims:
        stage.stop(id)
    return lambda: _started(stage, victims)


def _started(stage: Stage, ids: Sequence[int]) -> None:
    stage.say(f"start of {_named(ids)}")
    for id in ids:
        stage.start(id)


def _frozen(stage: Stage, ids: Sequence[int]) -> End:
    victims = {id: stage.freeze(id) for id in ids if stage.ensemble.is_running(id)}
    stage.say(f"{_named(list(victims))} frozen")

    def end() -> None:
        stage.say(f"{_named(list(victims))} thawed")
        for id, process in victims.items():
            stage.thaw(id, process)

    return end


def _held(stage: Stage, ways: list[Way], what: str) -> End:
    stage.say(what)
    stage.proxies.hold(ways)

    def end() -> None:
        stage.say(f"no longer: {what}")
        stage.proxies.release(ways)

    return end


def _apart(stage: Stage, random: Random, ids: Sequence[int]) -> End:
    """In the end what was said meanwhile either arrives, or its connections are found to be dead."""
    others = [id for id in stage.servers if id not in ids]
    ways = stage.peer_ways(ids, others) + stage.peer_ways(others, ids)
    broken = random.random() < 0.5
    stage.say(f"{_named(ids)} and {_named(others)} apart")
    stage.proxies.hold(ways)

    def end() -> None:
        stage.say(f"{_named(ids)} and {_named(others)} together" + (", on new connections" if broken else ""))
        if broken:
            links = [link for pair, link in stage.peers.items() if (pair[0] in ids) != (pair[1] in ids)]
            stage.proxies.reset(links)
        stage.proxies.release(ways)

    return end


def _slow(stage: Stage, ways: list[Way], delay_s: float, what: str) -> End:
    stage.say(what)
    stage.proxies.slow_down(ways, delay_s)

    def end() -> None:
        stage.say(f"no longer: {what}")
        stage.proxies.slow_down(ways, 0)

    return end


def _links_of(stage: Stage, id: int) -> list[Link]:
    return [link for pair, link in stage.peers.items() if id in pair]


def _client_links(stage: Stage, id: int) -> list[Link]:
    return [link for (_, server), link in stage.clients.items() if server == id]


def _both(links: Sequence[Link]) -> list[Way]:
    return [way for link in links for way in (link.there, link.back)]


def _close_one_way(stage: Stage, random: Random, links: Sequence[Link]) -> None:
    for link in links:
        stage.proxies.close_one_way(link, random.choice((link.there, link.back)))


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.__name__: fault
        for fault in (
            kill_a_server,
            kill_the_leader,
            kill_several_servers,
            kill_a_server_again_and_again,
            restart_a_server,
            restart_the_leader,
            freeze_a_server,
            freeze_the_leader,
            freeze_several_servers,
            fill_a_disk,
            isolate_a_server,
            isolate_the_leader,
            part_the_servers,
            deafen_a_server,
            silence_a_server,
            slow_links_between_servers,
            reset_links_between_servers,
            close_links_between_servers_one_way,
            cut_off_a_client,
            cut_off_all_clients_of_a_server,
            withhold_the_answers_of_a_server,
            slow_links_of_clients,
            reset_links_of_clients,
            close_links_of_clients_one_way,
        )
    }
)
"""By name."""
