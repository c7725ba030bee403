"""docs/conformance.md names the tests that play the suite's, all of them, and their cases."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/conformance.md").read_text()
TESTS = "".join(path.read_text() for path in sorted((ROOT / "tests/interop").glob("test_oidcc_*")))


def test_the_page_names_each_test_and_no_other() -> None:
    named = re.findall(r"`(test_oidcc_\w+)(?:\[(\w+)\])?`", PAGE)
    written = re.findall(r"^async def (test_\w+)", TESTS, re.MULTILINE)
    assert {name for name, _ in named} == set(written)
    cases = {case.rstrip("0123456789") for _, case in named if case}
    assert [case for case in sorted(cases) if f'"{case}"' not in TESTS] == []


def test_each_test_of_the_suite_has_one_row() -> None:
    rows = re.findall(r"^\| (oidcc-[\w-]+) \|", PAGE, re.MULTILINE)
    assert len(rows) == len(set(rows)) == 38 + 1 + 11
