"""verifier/README.md: its program runs, its tables are whole."""

import re
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import watchword_verifier
from watchword_verifier import Claims, Options, VerifierError

from tests.conftest import AUDIENCE
from tests.verifier.conftest import LivePod

PAGE = Path(__file__).parents[2].joinpath("verifier/README.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


async def test_its_program_verifies_a_token(pod: LivePod) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.split("\n## ")[0], re.DOTALL)
    assert AUDIENCE in program
    found: dict[str, Any] = {}
    keep = "            found.append(claims)\n"
    exec(program.replace("https://auth.example", pod.url) + keep, found)  # noqa: S102 (the page's)
    seen: list[Claims] = []
    found["found"] = seen
    client = pod.make_client()

    async def requests() -> Any:
        header = [f"Bearer {pod.token(client)}"]
        yield SimpleNamespace(headers=SimpleNamespace(getlist=lambda _: header))

    await found["serve"](requests())
    assert [claims.client_id for claims in seen] == [client.id]


def test_its_table_has_every_option_and_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|", section("Options"), re.MULTILINE)
    told = {name: default.strip() for name, default in rows}
    assert told == {field.name: shown(field.default) for field in fields(Options)}


def shown(default: object) -> str:
    match default:
        case timedelta():
            return f"{default.total_seconds():.0f} s"
        case tuple():
            return ", ".join(f"`{name}`" for name in default)
        case bool() | None:
            return f"`{default}`"
        case str():
            return f'`"{default}"`'
        case int():
            return f"{default:,}"
    assert default is MISSING
    return ""


def test_its_table_has_every_error() -> None:
    errors = {
        name
        for name in watchword_verifier.__all__
        if isinstance(it := getattr(watchword_verifier, name), type)
        and issubclass(it, VerifierError)
    }
    told = set(re.findall(r"`([A-Z]\w+)`", section("Errors"))) - {"Authorization", "ValueError"}
    assert told == errors
    for name, status in re.findall(r"^\| [· ]*`(\w+)` \| (\d+) ", section("Errors"), re.MULTILINE):
        assert getattr(watchword_verifier, name).status == int(status)
