"""README.md: every command of its tour, as pasted, prints what the README shows."""

import re
import subprocess
import sys
from pathlib import Path

from service.cli.tour import TOUR
from tests.cli.development import Development, free_port

README = Path(__file__).parents[2].joinpath("README.md").read_text()
MARKER = "===="

# What differs from run to run: a whole token, ids, times, keys.
MASKS = (
    (r"eyJ[A-Za-z0-9_-]+(\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|…)", "TOKEN"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r'"n":"[A-Za-z0-9_-]{342}"', '"n":"MODULUS"'),
    (r'"kid":"[A-Za-z0-9_-]{43}"', '"kid":"KID"'),
    (r'"(iat|exp)":\d{10}', r'"\1":TIME'),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"http://localhost:\d+", "ISSUER"),
)


def shown() -> list[tuple[str, str]]:
    """Each command of the README's console blocks, and the output under it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.rstrip()))
    return found


def masked(text: str) -> str:
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    return text


def test_the_readme_walks_the_tour_that_dev_prints() -> None:
    assert [command for command, _ in shown()] == [
        ". .watchword/env",
        *(step.command for step in TOUR),
    ]


def test_each_command_prints_what_the_readme_shows(tmp_path: Path) -> None:
    with Development(tmp_path, free_port()):
        script = f"PATH={Path(sys.executable).parent}:$PATH\n" + "".join(
            f"{command}\necho '{MARKER}'\n" for command, _ in shown()
        )
        run = subprocess.run(
            ["bash", "-u", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
    assert run.stderr == ""
    outputs = [masked(output.strip("\n")) for output in run.stdout.split(MARKER)]
    for (command, expected), output in zip(shown(), outputs, strict=False):
        assert output == masked(expected), command
