"""docs/rfc.md carries every rule number that a test cites, and names exactly the tests that do."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/rfc.md").read_text()
NUMBER = r"\b(?:TOK|CC|ROPC|RES|AT|JWKS|REV|INT|META|RS|DIST|ATK|LIB)-\d+\b"


def test_each_row_names_the_tests_that_cite_its_number() -> None:
    rows = re.findall(rf"^\| ({NUMBER}) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    named = {number: set(re.findall(r"\(\.\./(.+?)\)", tests)) for number, _, _, tests in rows}
    citing: defaultdict[str, set[str]] = defaultdict(set)
    for test in (ROOT / "tests").rglob("*.py"):
        for number in re.findall(NUMBER, test.read_text()):
            citing[number].add(test.relative_to(ROOT).as_posix())
    assert named == citing
