"""docs/rfc.md carries every rule number that a test cites, and names tests that cite it."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/rfc.md").read_text()
PREFIXES = (
    "TOK|AC|RT|CC|DEV|TEX|JWTB|ROPC|AUTHZ|PAR|JAR|RAR|RES|AT|IDT|JWKS|REV|INT|TSL|DIST|BCL|RPL|SSF|"
    "GTR|META|RS|DPOP|MTLS|PRM|BCP|D21|LOGIN|PW|RATE|ATK|IOP|LIB|CONF"
)
NUMBER = rf"\b(?:{PREFIXES})-\d+\b"


def test_each_number_has_its_row_and_each_row_names_tests_that_cite_it() -> None:
    rows = re.findall(rf"^\| ({NUMBER}) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    named = {number: set(re.findall(r"\(\.\./(.+?)\)", tests)) for number, _, _, tests in rows}
    citing: defaultdict[str, set[str]] = defaultdict(set)
    for test in (ROOT / "tests").rglob("*.py"):
        for number in re.findall(NUMBER, test.read_text()):
            citing[number].add(test.relative_to(ROOT).as_posix())
    assert set(named) == set(citing)
    for number, tests in named.items():
        assert tests, number
        assert tests <= citing[number], number
