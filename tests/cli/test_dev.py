"""watchword dev: one command, everything embedded, nothing left behind."""

import json
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.cli.tour import TOUR
from tests.cli.development import Development, free_port
from tests.keys.softhsm import make_token

DEMO = {
    "issuer",
    "client_id",
    "client_secret",
    "web_client_id",
    "username",
    "password",
    "database_url",
    "redis_url",
}


# What it says before each part of the start.
STEPS = ("PostgreSQL …", "Redis …", "master keys …", "schema …", "demo clients …")
# Those that stop it, in turn: each start that a test makes takes seconds.
SIGNALS = (signal.SIGTERM, signal.SIGINT) * 4


def listening(host: str) -> socket.socket:
    try:
        return socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError:
        pytest.skip("this machine has no IPv6")


def secrets(demo: dict[str, str]) -> list[str]:
    urls = (urlsplit(demo[name]).password or "" for name in ("database_url", "redis_url"))
    return [demo["client_secret"], demo["password"], *urls]


def key_ids(server: Development) -> list[str]:
    with urllib.request.urlopen(f"{server.issuer}/.well-known/jwks.json") as answer:  # noqa: S310
        return [key["kid"] for key in json.load(answer)["keys"]]


def eventually_nothing_left(server: Development) -> bool:
    deadline = time.monotonic() + 20
    while server.servers_left() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not server.servers_left()


def test_a_second_run_finds_its_data_again(tmp_path: Path) -> None:
    port = free_port()
    with Development(tmp_path, port) as server:
        first, keys = server.demo, key_ids(server)
        assert set(first) == DEMO
        assert first["issuer"] == server.issuer
        for name in ("demo.json", "env"):
            assert (tmp_path / ".watchword" / name).stat().st_mode & 0o777 == 0o600
        said = server.log.read_text()
        assert all(step in said for step in STEPS)
        assert [step.title for step in TOUR if f"\n  {step.command}\n" not in said] == []
        assert [secret for secret in secrets(first) if secret in said] == []
        doctor = server.bash("python -m service doctor --json")
        assert (doctor.returncode, doctor.stderr) == (0, "")
        assert '"fault"' not in doctor.stdout
    assert server.process.returncode == 0
    assert eventually_nothing_left(server)
    with Development(tmp_path, port) as server:
        assert server.demo == first
        assert key_ids(server) == keys


@pytest.mark.slow
def test_another_port_works_on_the_same_data_and_each_keeps_its_own(tmp_path: Path) -> None:
    port = free_port()
    with Development(tmp_path, port) as server:
        first, keys = server.demo, key_ids(server)
    with Development(tmp_path, free_port()) as server:
        assert server.demo["issuer"] == server.issuer != first["issuer"]
        assert set(key_ids(server)).isdisjoint(keys)
    with Development(tmp_path, port) as server:
        assert server.demo == first
        assert key_ids(server) == keys


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_a_clear_error_and_starts_nothing(tmp_path: Path, host: str) -> None:
    with listening(host) as taken:
        port = taken.getsockname()[1]
        server = Development(tmp_path, port)
        assert server.process.wait(20) == 1
    (line,) = server.log.read_text().splitlines()
    assert line.startswith("error: ")
    assert str(port) in line
    assert not (tmp_path / ".watchword/postgres").exists()


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with Development(tmp_path, free_port()) as server:
        second = Development(tmp_path, free_port())
        assert second.process.wait(20) == 1
        step, error = second.log.read_text().splitlines()
        assert step == "  PostgreSQL … "
        assert error.startswith("error: ")
        assert error.endswith("in use by another run: stop it, or choose another --data-dir.")
        assert server.is_ready()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number"),
    [*zip([*STEPS, "Watchword serves", '"event":"ready"'], SIGNALS, strict=False)],
)
def test_a_signal_at_any_moment_leaves_nothing_behind(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    server = Development(tmp_path, free_port())
    server.wait_until_said(moment)
    began = time.monotonic()
    assert server.stop(number) == 0
    assert server.left_at_last() == []
    assert time.monotonic() - began < 10
    said = server.log.read_text()
    assert "Traceback" not in said
    assert "error" not in said
    with Development(tmp_path, server.port) as again:  # what was half made is no obstacle
        assert again.bash(TOUR[0].command).stdout.startswith("eyJ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "number"), [*zip([0.0, 0.1, 0.3, 0.6, 0.9, 1.1, 1.3, 1.6], SIGNALS, strict=False)]
)
def test_a_signal_after_any_time_leaves_nothing_behind(
    tmp_path: Path, seconds: float, number: signal.Signals
) -> None:
    server = Development(tmp_path, free_port())
    time.sleep(seconds)  # the moment itself is what is tried
    server.stop(number)
    assert server.left_at_last() == []


@pytest.mark.slow
def test_a_second_signal_leaves_nothing_behind(tmp_path: Path) -> None:
    server = Development(tmp_path, free_port())
    server.wait_until_ready()
    server.process.send_signal(signal.SIGINT)
    server.wait_until_said("stopping Redis and PostgreSQL")
    server.stop(signal.SIGTERM)
    assert eventually_nothing_left(server)


@pytest.mark.slow
def test_even_a_kill_leaves_nothing_behind(tmp_path: Path) -> None:
    server = Development(tmp_path, free_port())
    server.wait_until_ready()
    assert server.servers_left()
    server.stop(signal.SIGKILL)
    assert eventually_nothing_left(server)


@pytest.mark.slow
def test_looks_and_hardware_are_as_the_environment_says(tmp_path: Path) -> None:
    """To try them out, no more is needed (brand-the-pages.md, keep-keys-in-hardware.md)."""
    (tmp_path / "token").mkdir()
    hardware = make_token(tmp_path / "token").environment
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>')
    look = {"WATCHWORD_BRAND_NAME": "Kiosk", "WATCHWORD_BRAND_LOGO": str(logo)}
    with Development(tmp_path, free_port(), **look, **hardware) as server:
        with urllib.request.urlopen(f"{server.issuer}/login") as answer:  # noqa: S310
            page = answer.read().decode()
        assert "Sign in to <bdi>Kiosk</bdi>" in page
        shown = re.findall(r'src="(/assets/logo[^"]+)"', page)
        with urllib.request.urlopen(server.issuer + shown[0]) as answer:  # noqa: S310
            assert answer.read() == logo.read_bytes()
        ask = f"export SOFTHSM2_CONF={hardware['SOFTHSM2_CONF']}; watchword keys list; "
        listed = server.bash(f"{ask} watchword doctor")
    assert listed.stdout.count("in hardware") == 2, listed.stdout + listed.stderr
    assert "all can be used; the PKCS#11 token watchword answers" in listed.stdout
    logo.unlink()
    refused = Development(tmp_path, free_port(), **look)
    assert refused.process.wait(30) == 1
    said = refused.log.read_text()
    assert f"error: WATCHWORD_BRAND_LOGO: {logo} can't be read" in said
    assert "serves" not in said
