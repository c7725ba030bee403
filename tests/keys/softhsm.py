"""A PKCS#11 token in software: SoftHSM of the system, its files in a folder."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.keys.pkcs11_token import Address

MODULE = "/usr/lib/softhsm/libsofthsm2.so"


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """A token of that folder; `away` takes it from everybody."""

    folder: Path
    pin: str = "471100"

    @property
    def address(self) -> Address:
        return Address(module=MODULE, token="watchword", pin=self.pin)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use it, with the settings of the service."""
        return {
            "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf"),
            "WATCHWORD_PKCS11_MODULE": MODULE,
            "WATCHWORD_PKCS11_TOKEN": "watchword",
            "WATCHWORD_PKCS11_PIN": self.pin,
        }

    def take_away(self) -> None:
        (self.folder / "tokens").rename(self.folder / "away")

    def bring_back(self) -> None:
        (self.folder / "away").rename(self.folder / "tokens")


def make_token(folder: Path) -> SoftHsm:
    """A new token; the test is skipped where there is no SoftHSM."""
    tool = shutil.which("softhsm2-util")
    if tool is None or not Path(MODULE).exists():
        pytest.skip("SoftHSM is not installed: tests/install-servers.sh")
    token = SoftHsm(folder)
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\n")
    command = [tool, "--init-token", "--free", "--label", "watchword"]
    subprocess.run(
        [*command, "--pin", token.pin, "--so-pin", "081500"],
        env={"PATH": os.defpath, **token.environment},
        check=True,
        capture_output=True,
    )
    return token
