"""docs/reference/settings.md is what `watchword settings` prints."""

from pathlib import Path

from click.testing import CliRunner

from service.cli.main import main

PAGE = Path(__file__).parents[2] / "docs/reference/settings.md"


def test_the_page_is_fresh() -> None:
    printed = CliRunner().invoke(main, ["settings"]).output
    assert PAGE.read_text() == printed, "watchword settings > docs/reference/settings.md"
