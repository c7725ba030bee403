"""The keys folder: how it is read, made, and what is said of each fault."""

import base64
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from service.keys.master_keys import MasterKeyError, create_master_keys, read_master_keys

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good folder with one key of each kind."""
    return fill(tmp_path / "keys")


def fill(folder: Path, current: str = "wrap 1\nrefresh 1\n") -> Path:
    folder.mkdir(exist_ok=True)
    write(folder / "current", current)
    for name in ("wrap-1.key", "refresh-1.key"):
        write(folder / name, KEY + "\n")
    return folder


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def test_keys_are_read_by_kind_and_id(folder: Path) -> None:
    """32 bytes in base64url, one line; `current` names those used for making."""
    other = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    write(folder / "wrap-2025a.key", other)
    write(folder / "refresh-65535.key", f"{other}\r\n")
    write(folder / "current", "# which are used\nrefresh 65535\nwrap   2025a\n")
    keys = read_master_keys(folder)
    assert keys.wrap == {"1": bytes(range(32)), "2025a": base64.urlsafe_b64decode(other + "=")}
    assert keys.refresh == {1: bytes(range(32)), 65535: base64.urlsafe_b64decode(other + "=")}
    assert (keys.current_wrap, keys.current_refresh) == ("2025a", 65535)


def test_other_files_are_left_alone(folder: Path) -> None:
    """A README, what an editor left, a key of another kind."""
    names = ("README.md", "wrap-1.key~", "wrap-.key", "wrap-a_b.key", "other-1.key", "wrap-2.KEY")
    for name in names:
        write(folder / name, "anything", 0o644)
    (folder / "old").mkdir()
    assert set(read_master_keys(folder).wrap) == {"1"}


def test_no_key_shows_itself(folder: Path) -> None:
    """JWKS-7."""
    shown = repr(read_master_keys(folder))
    assert KEY not in shown
    assert "\\x01" not in shown


def _remove(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def _put(name: str, text: str, mode: int = 0o600) -> Callable[[Path], None]:
    return lambda folder: write(folder / name, text, mode)


def _put_bytes(name: str, raw: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(raw) and None


def _folder_in_place(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir(mode=0o700)

    return change


NOT_32_BYTES = r"{} must hold 32 bytes in base64url without padding, on one line"
TWO_LINES = r"{} must have two lines such as 'wrap 1' and 'refresh 1'"
REFRESH_ID = r"{}: the id of a refresh key is a number from 1 to 65535"
EVERYBODY = r"{} can be read by everybody: chmod o= {}"


@pytest.mark.parametrize(
    ("spoil", "name", "said"),
    [
        (_remove("current"), "current", r"{} is not there: make the first .*'watchword keys init'"),
        (_put("current", ""), "current", TWO_LINES),
        (_put("current", "wrap 1\n"), "current", TWO_LINES),
        (_put("current", "refresh 1\n"), "current", TWO_LINES),
        (_put("current", "wrap=1\nrefresh=1\n"), "current", TWO_LINES),
        (_put("current", "wrap 1 refresh 1\n"), "current", TWO_LINES),
        (_put("current", "wrap ../1\nrefresh 1\n"), "current", TWO_LINES),
        (_put("current", "wrap 2\nrefresh 1\n"), "current", r"{} names the wrap key 2, but wrap-2"),
        (_put("current", "wrap 1\nrefresh 2\n"), "current", r"{} names the refresh key 2, but "),
        (_put("current", "wrap 1\nrefresh 01\n"), "current", REFRESH_ID),
        (_put("current", "wrap 1\nrefresh 0\n"), "current", REFRESH_ID),
        (_put("current", "wrap 1\nrefresh a\n"), "current", REFRESH_ID),
        (_put("current", "wrap 1\nrefresh 1\n", 0o604), "current", EVERYBODY),
        (_remove("wrap-1.key"), "current", r"{} names the wrap key 1, but wrap-1.key is not there"),
        (_remove("refresh-1.key"), "current", r"{} names .* but refresh-1.key is not there"),
        (_put("wrap-1.key", KEY, 0o644), "wrap-1.key", EVERYBODY),
        (_put("refresh-1.key", KEY, 0o444), "refresh-1.key", EVERYBODY),
        (_put("wrap-1.key", ""), "wrap-1.key", NOT_32_BYTES),
        (_put("wrap-1.key", KEY[:-1]), "wrap-1.key", NOT_32_BYTES),
        (_put("wrap-1.key", KEY + "A"), "wrap-1.key", NOT_32_BYTES),
        (_put("wrap-1.key", KEY + "="), "wrap-1.key", NOT_32_BYTES),
        (_put("wrap-1.key", f"{KEY}\n{KEY}\n"), "wrap-1.key", NOT_32_BYTES),
        (_put("wrap-1.key", KEY[:-1] + "+"), "wrap-1.key", NOT_32_BYTES),
        (_put("wrap-1.key", KEY[:-1] + "é"), "wrap-1.key", NOT_32_BYTES),
        (_put("wrap-1.key", bytes(range(32)).hex()), "wrap-1.key", NOT_32_BYTES),
        (_put("refresh-2.key", "x"), "refresh-2.key", NOT_32_BYTES),
        (_put_bytes("wrap-1.key", b"\xff" * 32), "wrap-1.key", r"{} can't be read: "),
        (_folder_in_place("wrap-1.key"), "wrap-1.key", r"{} can't be read: "),
        (_folder_in_place("current"), "current", r"{} can't be read: "),
        (_put("refresh-0.key", KEY), "refresh-0.key", REFRESH_ID),
        (_put("refresh-01.key", KEY), "refresh-01.key", REFRESH_ID),
        (_put("refresh-65536.key", KEY), "refresh-65536.key", REFRESH_ID),
        (_put("refresh-a.key", KEY), "refresh-a.key", REFRESH_ID),
    ],
)
def test_each_fault_is_said_in_one_line_that_names_the_file(
    folder: Path, spoil: Callable[[Path], None], name: str, said: str
) -> None:
    """What is wrong, where, and what to do; never the key."""
    spoil(folder)
    with pytest.raises(MasterKeyError) as fault:
        read_master_keys(folder)
    text, path = str(fault.value), re.escape(str(folder / name))
    assert re.match(said.format(path, path), text), text
    assert len(text.splitlines()) == 1
    assert KEY[:-1] not in text


def test_missing_folder_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match=r"WATCHWORD_KEYS_DIR.*'watchword keys init'") as fault:
        read_master_keys(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(fault.value)
    write(tmp_path / "file", "")
    with pytest.raises(MasterKeyError, match="is not there"):
        read_master_keys(tmp_path / "file")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640, 0o660])
def test_group_may_read(folder: Path, mode: int) -> None:
    """Secret volumes are group-readable."""
    for path in folder.iterdir():
        path.chmod(mode)
    assert read_master_keys(folder).wrap == {"1": bytes(range(32))}


def test_folder_may_be_a_kubernetes_secret(tmp_path: Path) -> None:
    """Its files are links through `..data`, which is swapped whole when the Secret changes."""
    mount = tmp_path / "mount"
    mount.mkdir()
    first = fill(mount / "..2026_01_01_00_00_00.1")
    (mount / "..data").symlink_to(first.name)
    for path in first.iterdir():
        path.chmod(0o440)
        (mount / path.name).symlink_to(Path("..data") / path.name)
    assert read_master_keys(mount).current_wrap == "1"
    second = fill(mount / "..2026_02_02_00_00_00.2", current="wrap 2\nrefresh 1\n")
    write(second / "wrap-2.key", KEY)
    (mount / "wrap-2.key").symlink_to(Path("..data") / "wrap-2.key")
    (mount / "..data_tmp").symlink_to(second.name)
    (mount / "..data_tmp").rename(mount / "..data")
    keys = read_master_keys(mount)
    assert (keys.current_wrap, set(keys.wrap)) == ("2", {"1", "2"})


@pytest.mark.parametrize("name", ["wrap-1.key", "current"])
def test_mode_is_that_of_the_file_behind_a_link(folder: Path, tmp_path: Path, name: str) -> None:
    """A link itself is always readable by everybody."""
    target = tmp_path / "target"
    (folder / name).rename(target)
    (folder / name).symlink_to(target)
    assert read_master_keys(folder)
    target.chmod(0o644)
    with pytest.raises(MasterKeyError, match="everybody"):
        read_master_keys(folder)


def test_link_to_nowhere_is_named(folder: Path) -> None:
    (folder / "wrap-2.key").symlink_to(folder / "nowhere")
    with pytest.raises(MasterKeyError, match=r"wrap-2\.key can't be read"):
        read_master_keys(folder)


def test_first_keys_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "keys"
    assert create_master_keys(folder)
    keys = read_master_keys(folder)
    assert (keys.current_wrap, keys.current_refresh) == ("1", 1)
    assert keys.wrap["1"] != keys.refresh[1]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_keys_that_are_there_are_kept(tmp_path: Path) -> None:
    """Also without `current`: reading such a folder says what is wrong."""
    folder = tmp_path / "keys"
    create_master_keys(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not create_master_keys(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "current").unlink()
    assert not create_master_keys(folder)
    assert not (folder / "current").exists()


def test_keys_of_two_folders_differ(tmp_path: Path) -> None:
    for name in ("a", "b"):
        create_master_keys(tmp_path / name)
    first, second = read_master_keys(tmp_path / "a"), read_master_keys(tmp_path / "b")
    assert len({*first.wrap.values(), *second.wrap.values(), *first.refresh.values()}) == 3
