"""Master keys: 32 random bytes each, read from the keys folder; `current` names those in use."""

import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from service.oauth.jws import decode_base64url, encode_base64url

_FILE = re.compile(r"(wrap|refresh)-([A-Za-z0-9]{1,32})\.key")
_KEY_BYTES = 32
_MAX_REFRESH_ID = 65535


class MasterKeyError(Exception):
    """The keys folder can't be used; the text says which file and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MasterKeys:
    """All master keys by id: wrap keys encrypt signing keys, refresh keys authenticate tokens."""

    wrap: dict[str, bytes]
    refresh: dict[int, bytes]
    current_wrap: str
    current_refresh: int


def read_master_keys(directory: Path) -> MasterKeys:
    """All keys of the folder. Raises MasterKeyError."""
    current = _read_current(directory)
    wrap: dict[str, bytes] = {}
    refresh: dict[int, bytes] = {}
    for path in sorted(directory.iterdir()):
        if not (name := _FILE.fullmatch(path.name)):
            continue
        key = _read_key(path)
        if name[1] == "wrap":
            wrap[name[2]] = key
        else:
            refresh[_refresh_id(name[2], path)] = key
    current_refresh = _refresh_id(current["refresh"], directory / "current")
    for kind, known in (("wrap", current["wrap"] in wrap), ("refresh", current_refresh in refresh)):
        if not known:
            raise MasterKeyError(
                f"{directory}/current names the {kind} key {current[kind]}, but "
                f"{kind}-{current[kind]}.key is not there"
            )
    return MasterKeys(
        wrap=wrap, refresh=refresh, current_wrap=current["wrap"], current_refresh=current_refresh
    )


def create_master_keys(directory: Path) -> bool:
    """Make the first master keys unless the folder has some; whether it made them.

    A folder with keys but without `current` is left alone: reading it says what is wrong.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (directory / "current").exists() or any(
        _FILE.fullmatch(p.name) for p in directory.iterdir()
    ):
        return False
    files = {
        "wrap-1.key": encode_base64url(secrets.token_bytes(_KEY_BYTES)),
        "refresh-1.key": encode_base64url(secrets.token_bytes(_KEY_BYTES)),
        "current": "wrap 1\nrefresh 1",
    }
    try:
        for name, text in files.items():
            _write(directory / name, text)
    except FileExistsError:  # another run makes them at this moment
        return False
    except BaseException:  # Ctrl-C too: half a folder would be refused for ever
        for name in files:
            (directory / name).unlink(missing_ok=True)
        raise
    return True


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")


def _read_current(directory: Path) -> dict[str, str]:
    if not directory.is_dir():
        raise MasterKeyError(
            f"the keys folder {directory} is not there: set WATCHWORD_KEYS_DIR, or make the first "
            "master keys with 'watchword keys init'"
        )
    path = directory / "current"
    if not path.exists():
        raise MasterKeyError(
            f"{path} is not there: make the first master keys with 'watchword keys init'"
        )
    current = dict(re.findall(r"^(wrap|refresh) +([A-Za-z0-9]{1,32})$", _read(path), re.MULTILINE))
    if set(current) != {"wrap", "refresh"}:
        raise MasterKeyError(f"{path} must have two lines such as 'wrap 1' and 'refresh 1'")
    return current


def _read_key(path: Path) -> bytes:
    key = decode_base64url(_read(path).strip())
    if key is None or len(key) != _KEY_BYTES:
        raise MasterKeyError(f"{path} must hold 32 bytes in base64url without padding, on one line")
    return key


def _read(path: Path) -> str:
    try:
        # A Secret volume is group-readable; readable by everybody is a mistake.
        if path.stat().st_mode & stat.S_IROTH:
            raise MasterKeyError(f"{path} can be read by everybody: chmod o= {path}")
        return path.read_text()
    except (OSError, UnicodeError) as error:
        raise MasterKeyError(f"{path} can't be read: {error}") from None


def _refresh_id(text: str, path: Path) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _MAX_REFRESH_ID or text.startswith("0"):
        raise MasterKeyError(f"{path}: the id of a refresh key is a number from 1 to 65535")
    return int(text)
