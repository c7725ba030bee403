"""Master keys are lost, with no copy: docs/how-to/disasters.md says what to do, and it helps."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Watchword
from tests.cli.pods import serve
from tests.faults.failover_support import free_port, until

pytestmark = pytest.mark.slow


def test_who_lost_the_master_keys_goes_on_with_new_ones(
    environment: Mapping[str, str], empty_database: str, tmp_path: Path
) -> None:
    own = {
        **environment,
        "WATCHWORD_DATABASE_URL": empty_database,
        "WATCHWORD_REDIS_PREFIX": uuid4().hex,
        "WATCHWORD_LISTEN": f"127.0.0.1:{free_port()}",
        "WATCHWORD_KEYS_DIR": str(tmp_path / "keys"),
    }
    watchword = Watchword(own)
    assert watchword("keys", "init").code == 0
    assert watchword("migrate").code == 0
    with serve(own, tmp_path) as pod:
        until(pod.is_ready)
        client = watchword.make_client()
        before = pod.token(client)
    (tmp_path / "keys").rename(tmp_path / "lost")
    assert watchword("keys", "init").code == 0
    with serve(own, tmp_path) as pod:
        assert pod.process.wait(20) == 1
        (line,) = pod.lines("stopped")
        assert "does not unwrap with wrap-1.key" in line["message"]
    said = watchword("recover", "--sessions", "end", "--anyway")
    assert (said.code, said.out) == (0, "killed 4 signing keys, ended 0 sessions\n")
    with serve(own, tmp_path) as pod:
        until(pod.is_ready)
        assert pod.introspect(client, before) == "inactive"
        assert pod.introspect(client, pod.token(client)) == "active"
