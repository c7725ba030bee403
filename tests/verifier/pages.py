"""The programs of the pages in docs/how-to, as a reader saves them."""

import re
from pathlib import Path

HOW_TO = Path(__file__).parents[2] / "docs/how-to"


def programs(page: str) -> list[str]:
    """The Python of a page, block by block."""
    return re.findall(
        r"^```python\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL
    )


def save(folder: Path, page: str) -> None:
    """Every block that begins with a file's name, in that file."""
    for program in programs(page):
        if named := re.match(r"# (\S+\.py)\n", program):
            path = folder / named[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(program)
