"""The file in which keys outlive a process: whole, its owner's alone, never a reason to fail."""

import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from watchword_verifier._key_cache import CachedKeys, read_cache, write_cache

from tests.verifier.test_jws import VALUES

ISSUER = "https://auth.example"
CACHED = CachedKeys(
    issuer=ISSUER,
    fetched_at=1_727_000_000.0,
    tokens=b'{"keys":["\xc3\xa9"]}',
    feed=b"",
    killed=("one", "other"),
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert read_cache(path, ISSUER) is None
    for _ in range(2):
        write_cache(path, CACHED)
        assert read_cache(path, ISSUER) == CACHED
    assert read_cache(path, ISSUER + "/other") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [it.name for it in tmp_path.iterdir()] == ["keys.json"]


MEMBERS = st.sampled_from(["issuer", "fetched_at", "tokens", "feed", "killed"])
HONEST: dict[str, Any] = {
    "issuer": ISSUER,
    "fetched_at": 1.5,
    "tokens": "",
    "feed": "",
    "killed": ["a"],
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each writes its file
@given(
    st.binary()
    | st.dictionaries(MEMBERS, VALUES).map(lambda it: json.dumps({**HONEST, **it}).encode())
)
@example(json.dumps({**HONEST, "fetched_at": 10**400}).encode())
def test_whatever_stands_in_the_file_is_a_cache_or_none(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(raw)
    cached = read_cache(path, ISSUER)
    if cached is not None:
        assert cached.issuer == ISSUER
        assert isinstance(cached.fetched_at, float)
        assert all(isinstance(kid, str) for kid in cached.killed)


def test_a_file_that_cannot_be_read_or_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken, absent = tmp_path / "taken", tmp_path / "absent" / "keys.json"
    taken.mkdir()
    with caplog.at_level(logging.WARNING, "watchword_verifier"):
        assert read_cache(taken, ISSUER) is None
        write_cache(absent, CACHED)
        write_cache(taken, CACHED)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"the key cache {taken} can't be read ([Errno 21] Is a directory",
        f"the key cache {absent} can't be written",
        f"the key cache {taken} can't be written",
    ]
    assert [it.name for it in tmp_path.iterdir()] == ["taken"]
