"""The chart's tools, and what it makes of each set of values."""

import subprocess

import pytest

from tests.deploy.chart import LEAST, ROOT, VALUE_SETS, Object, render, value_set


@pytest.fixture(scope="session")
def helm() -> None:
    """The tools of make deploy-check."""
    subprocess.run([ROOT / "deploy/check/install.sh"], check=True)


@pytest.fixture(scope="session", params=[*VALUE_SETS, "defaults"])
def rendered(helm: None, request: pytest.FixtureRequest) -> list[Object]:
    """What each of the value sets makes, and the defaults."""
    return render(LEAST if request.param == "defaults" else value_set(request.param))
