"""A thread that watches a descriptor while what it sent to the host is still on its way."""

import selectors
import socket
from pathlib import Path

from virtlab.model.units import seconds
from virtlab.subjects import clock_link
from virtlab.subjects.clock_server import ClockServer


def has_answer(program: socket.socket) -> bool:
    try:
        return len(program.recv(8, socket.MSG_DONTWAIT | socket.MSG_PEEK)) == 8
    except BlockingIOError:
        return False


def test_time_stands_still_until_the_host_has_taken_a_new_connection_in(tmp_path: Path) -> None:
    selector = selectors.DefaultSelector()
    clock = ClockServer(selector, tmp_path, lambda _until: None)
    clock.set_end(seconds(30))
    program = socket.socket(socket.AF_UNIX)
    program.connect(str(clock.socket_path))
    program.send(clock_link.REQUEST.pack(clock_link.HELLO, 1, 0))
    while not has_answer(program):
        for key, mask in selector.select(clock.turn() or 0):
            key.data(mask)
    # No select in between: epoll then still has the clock's socket at the head of its list, so
    # that the word of waiting comes in before the connection which was made first.
    host = socket.socket(socket.AF_UNIX)
    host.bind(str(tmp_path / "host"))
    host.listen()
    taken: list[socket.socket] = []
    taken_at: list[int] = []

    def take(_mask: int) -> None:
        taken.append(host.accept()[0])
        taken_at.append(clock.now_ns)
        selector.unregister(host)

    selector.register(host, selectors.EVENT_READ, take)
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(str(tmp_path / "host"))
    caller.send(b"a call")
    program.send(clock_link.REQUEST.pack(clock_link.WATCH, 1, clock_link.FOREVER))

    for _ in range(10):
        for key, mask in selector.select(clock.turn() or 0):
            key.data(mask)

    assert taken_at == [0]
    clock.close()
    for each in (program, host, caller, *taken):
        each.close()
