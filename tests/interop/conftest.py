"""A real pod, and people with browsers, for clients that are not ours."""

from collections.abc import Iterator

import pytest

from tests.browser.conftest import live  # noqa: F401 (the fixture)
from tests.interop.visitor import Visitor


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    visitor = Visitor()
    yield visitor
    visitor.close()
