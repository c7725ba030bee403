"""The operator's look: colours that can be read, logos that are pictures."""

import re
import shutil
import struct
import subprocess
import sys
import zipfile
from itertools import product
from pathlib import Path

import pytest

from service.app import open_pages
from service.pages import palette
from service.pages.assets import logo, style_sheet
from service.pages.brand import Brand, UnfitBrand
from service.pages.colours import contrast, mix, readable, text_on
from service.pages.render import Pages
from service.settings import SettingsError, load_settings
from tests.pages.samples import PAGES

ROOT = Path(__file__).parents[2]
ACCENTS = ("#0b6157", "#14213d", "#d9480f", "#000000", "#7c3aed", "#c2185b", "#777777")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21),
        ("#ffffff", "#000000", 21),
        ("#777777", "#ffffff", 4.48),
        ("#ff0000", "#ffffff", 4.0),
        ("#123456", "#123456", 1),
    ],
)
def test_contrast_is_wcags(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)


def test_text_on_a_colour_is_black_or_white() -> None:
    assert (text_on("#0b6157"), text_on("#ffd400"), text_on("#777777")) == (
        "#ffffff",
        "#000000",
        "#000000",
    )


def test_a_colour_is_changed_no_more_than_is_needed() -> None:
    assert readable("#0b6157", ("#ffffff",), 4.5) == "#0b6157"
    lighter = readable("#14213d", ("#161d25",), 4.5)
    assert 4.5 <= contrast(lighter, "#161d25") < 5
    assert mix("#000000", "#ffffff", 0.5) == "#808080"


def themes(accent: str, background: str = palette.LIGHT.page) -> list[dict[str, str]]:
    body = style_sheet(Brand(accent=accent, background=background)).body.decode()
    return [
        dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6});", each))
        for each in body.partition("/*")[0].split("@media")
    ]


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("accent", ACCENTS)
def test_every_text_and_edge_of_every_theme_has_its_contrast(accent: str, theme: int) -> None:
    colours = themes(accent)[theme]
    for text, ground in (
        *product(("text", "muted", "bad", "link"), ("page", "card")),
        ("link", "tint"),
        ("bad", "bad-tint"),
        ("warn", "warn-tint"),
        ("text", "warn-tint"),
        ("on-accent", "accent"),
        ("on-accent", "accent-strong"),
    ):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for shape, ground in product(("accent", "edge"), ("page", "card")):
        if (shape, ground) != ("edge", "page"):  # inputs are on cards
            assert contrast(colours[shape], colours[ground]) >= 3, (shape, ground)


@pytest.mark.parametrize(
    "colour", ["red", "#fff", "#12345g", "#123456;}", "#123456\n", "", "#1234567"]
)
def test_a_colour_is_six_digits_and_nothing_else(colour: str) -> None:
    """ATK-74: nothing can be written into the style sheet."""
    with pytest.raises(UnfitBrand, match="accent: must be #rrggbb"):
        Brand(accent=colour)
    with pytest.raises(UnfitBrand, match="background: must be #rrggbb"):
        Brand(background=colour)


@pytest.mark.parametrize(
    ("look", "fault"),
    [
        (
            {"accent": "#ffd400"},
            "accent: #ffd400 on the light page has a contrast of 1.3:1; 3:1 .* choose a darker one",
        ),
        ({"accent": "#959595"}, r"contrast of 2\.\d:1"),
        ({"background": "#c0c0c0"}, "background: text on #c0c0c0 .* choose a lighter one"),
        ({"background": "#101010"}, "choose a lighter one"),
        ({"name": ""}, "name: must be 1 to 40"),
        ({"name": "a" * 41}, "name: must be 1 to 40"),
        ({"name": "a\u202eb"}, "name: must be 1 to 40"),
        ({"privacy": "http://example.com"}, "privacy: must be an https URL"),
        ({"terms": "javascript:alert(1)"}, "terms: must be an https URL"),
        ({"help": "mailto:a b"}, "help: must be an https URL"),
        ({"help": "help@example.com"}, "help: must be an https URL"),
        ({"terms": "mailto:a@example.com"}, "terms: must be an https URL"),
    ],
)
def test_a_look_that_nobody_could_read_is_refused_with_its_reason(look, fault) -> None:
    with pytest.raises(UnfitBrand, match=fault):
        Brand(**look)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(UnfitBrand) as refused:
        Brand(name="", accent="x", privacy="x")
    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "name",
        "accent",
        "privacy",
    ]


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 20, "image/jpeg"),
        (b"RIFF" + struct.pack("<I", 20) + b"WEBPVP8 ", "image/webp"),
        (SVG, "image/svg+xml"),
        (b"\xef\xbb\xbf \n<svg/>", "image/svg+xml"),
    ],
)
def test_a_logo_is_what_its_bytes_say(body: bytes, media_type: str, tmp_path: Path) -> None:
    file = tmp_path / "logo.txt"
    file.write_bytes(body)
    served = logo(Brand(logo=file))
    assert (served.body, served.media_type) == (body, media_type)
    assert ("sandbox" in served.policy) == (media_type == "image/svg+xml")
    assert served.policy.startswith("default-src 'none'")


@pytest.mark.parametrize(
    "body", [b"", b"GIF89a", b"<html><svg></svg>", b"RIFF0000WAVE", b"<?xml?>"]
)
def test_what_is_no_picture_is_no_logo(body: bytes, tmp_path: Path) -> None:
    file = tmp_path / "logo.png"
    file.write_bytes(body)
    with pytest.raises(UnfitBrand, match="is no PNG, JPEG, WebP or SVG"):
        Pages(Brand(logo=file))


def test_a_logo_is_small_and_there(tmp_path: Path) -> None:
    file = tmp_path / "logo.png"
    with pytest.raises(UnfitBrand, match="can't be read: No such file"):
        logo(Brand(logo=file))
    file.write_bytes(PNG.ljust(128 * 1024, b"\0"))
    assert len(logo(Brand(logo=file)).body) == 128 * 1024
    file.write_bytes(PNG.ljust(128 * 1024 + 1, b"\0"))
    with pytest.raises(UnfitBrand, match="more than 128 KiB"):
        logo(Brand(logo=file))


def test_a_file_is_named_by_its_content() -> None:
    one, same, other = (style_sheet(Brand(accent=each)) for each in (*ACCENTS[:1] * 2, ACCENTS[1]))
    assert re.fullmatch(r"/assets/style\.[0-9a-f]{16}\.css", one.path)
    assert (one.path == same.path, one.path == other.path) == (True, False)
    assert re.fullmatch(r"/assets/logo\.[0-9a-f]{16}", logo(Brand()).path)


def test_without_a_logo_there_is_a_mark_in_the_operators_colours() -> None:
    mark = logo(Brand(accent="#14213d"))
    assert mark.media_type == "image/svg+xml"
    assert b"--accent:#14213d" in mark.body
    assert b"themes" not in mark.body


def test_the_style_sheet_is_small_and_loads_nothing() -> None:
    body = style_sheet(Brand()).body
    assert len(body) < 12 * 1024
    assert b"url(" not in body
    assert b"@import" not in body


def test_a_logo_of_the_operators_stands_for_the_name(tmp_path: Path) -> None:
    file = tmp_path / "logo"
    file.write_bytes(PNG)
    pages = Pages(Brand(name="Kiosk & Co", logo=file))
    assert 'alt="Kiosk &amp; Co"' in pages.render(PAGES["signed_out"])


@pytest.mark.slow
def test_the_wheel_has_all_that_pages_need(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("service", "migrations"):
        shutil.copytree(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    room = ROOT / "service/pages"
    files = [path for path in room.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {path.relative_to(ROOT).as_posix() for path in files} <= packed


def test_an_unfit_brand_names_the_settings_and_says_why(tmp_path: Path) -> None:
    """As the operator wrote them: a path in capitals would be another one."""
    text = tmp_path / "no.png"
    text.write_text("no picture")
    given = {
        "ISSUER": "https://auth.example.com",
        "DATABASE_URL": "postgresql://x/y",
        "REDIS_URL": "redis://x",
    }

    def faults(**brand: str) -> list[str]:
        named = {f"WATCHWORD_{name}": value for name, value in {**given, **brand}.items()}
        with pytest.raises(SettingsError) as refusal:
            open_pages(load_settings(named))
        return list(refusal.value.faults)

    assert faults(BRAND_LOGO=str(text)) == [
        f"WATCHWORD_BRAND_LOGO: {text} is no PNG, JPEG, WebP or SVG"
    ]
    both = faults(BRAND_PRIVACY="http://a.example", BRAND_NAME="a" * 41)
    assert [each.partition(": must be ")[0] for each in both] == [
        "WATCHWORD_BRAND_NAME",
        "WATCHWORD_BRAND_PRIVACY",
    ]
