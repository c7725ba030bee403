"""No pod starts whose `current` names a master key that a living pod lacks."""

import shutil
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from service.app import open_database
from service.flows.start import prepare, report_pod
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring, KeyringError
from service.keys.master_keys import read_master_keys
from service.sql.instances import Instance
from tests.conftest import MakeSettings

OLD = Instance(
    id=uuid4(),
    name="old:1",
    release="0",
    schema_number=1,
    wrap_key_ids=["1"],
    refresh_key_ids=[1],
)


@pytest.mark.parametrize(
    ("current", "file"), [("wrap", "wrap-2.key"), ("refresh", "refresh-2.key")]
)
async def test_a_pod_waits_until_every_other_has_the_key(
    make_settings: MakeSettings, tmp_path: Path, current: str, file: str
) -> None:
    settings = await make_settings()
    for path in settings.keys_dir.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copy(tmp_path / f"{current}-1.key", tmp_path / file)
    (tmp_path / "current").write_text("wrap 1\nrefresh 1\n".replace(f"{current} 1", f"{current} 2"))
    master_keys = read_master_keys(tmp_path)
    keyring = Keyring(KeyStore(issuer=settings.issuer, master_keys=master_keys))
    database = open_database(settings)
    try:
        await report_pod(database, OLD, 1)
        await report_pod(database, replace(OLD, id=uuid4(), name="old:2"), 1)
        with pytest.raises(KeyringError) as refused:
            await prepare(database, keyring, settings.key_times)
        assert str(refused.value) == (
            f"old:1, old:2 lack the master key {file}: name the key before it in `current` again, "
            f"roll {file} out to every pod, then move `current`"
        )
        assert not keyring.is_loaded()
        async with database.connection() as connection:
            await connection.execute(
                "UPDATE instances SET wrap_key_ids = '{1,2}', refresh_key_ids = '{1,2}'"
            )
        await prepare(database, keyring, settings.key_times)
        assert keyring.is_loaded()
    finally:
        await database.close()
