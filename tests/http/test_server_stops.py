"""The end of a server whose proxies do not know of it yet: what they sent is answered."""

import socket
import time

import pytest

from tests.http.test_server import GET, child, child_port, connect, read_answer


def ask(client: socket.socket) -> tuple[int, str]:
    client.sendall(GET + b"\r\n")
    answer = read_answer(client)
    return answer.status, answer.headers["connection"]


def until_refused(port: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            connect(port).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    pytest.fail("it went on listening")


def test_a_kept_connection_is_served_once_more_after_new_ones_are_refused():
    with child(drain=0.5, grace=10) as process:
        port = child_port(process)
        with connect(port) as kept, connect(port) as unused:
            process.terminate()
            assert process.stdout.readline() == "draining\n"
            until_refused(port)
            assert ask(kept) == (204, "close")
            assert ask(unused) == (204, "close")
        output, errors = process.communicate(timeout=5)
        assert (output, errors) == ("asked\nasked\nstopped\n", "")


def test_a_connection_that_nobody_took_yet_is_served_before_new_ones_are_refused():
    with child(drain=0.5, grace=10) as process:
        port = child_port(process)
        with connect(port) as stalling:
            process.terminate()
            assert process.stdout.readline() == "draining\n"
            stalling.sendall(GET.replace(b"/", b"/stall", 1) + b"\r\n")
            assert process.stdout.readline() == "asked\n"
            with connect(port) as waiting:  # by the kernel alone: the server hears nothing
                assert ask(waiting) == (204, "close")
            assert read_answer(stalling).status == 204
        assert process.communicate(timeout=5)[0] == "asked\nstopped\n"


def test_a_connection_that_stays_silent_does_not_keep_it():
    with child(drain=0.2, grace=10) as process, connect(child_port(process)) as silent:
        began = time.monotonic()
        process.terminate()
        assert silent.recv(1) == b""
        assert process.communicate(timeout=5) == ("draining\nstopped\n", "")
        assert time.monotonic() - began < 2


def test_a_second_signal_ends_that_too():
    with child(drain=0.2, grace=10) as process:
        port = child_port(process)
        with connect(port) as silent:
            process.terminate()
            assert process.stdout.readline() == "draining\n"
            until_refused(port)
            process.terminate()
            assert silent.recv(1) == b""
