"""The files that pages load: one style sheet and one logo, named by what is in them."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from service.pages import paths
from service.pages.brand import Brand, UnfitBrand
from service.pages.palette import DARK, light, properties

_MAX_LOGO = 128 * 1024
_SVG = "image/svg+xml"
# By their first bytes; the name of a file says nothing.
_SIGNATURES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
# An SVG opened by itself is a document: it may draw, and nothing else (ATK-74).
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file that never changes under its path: to be cached for good.

    `policy` is the Content-Security-Policy that it has to be served with.
    """

    path: str
    body: bytes
    media_type: str
    policy: str = "default-src 'none'"


def style_sheet(brand: Brand) -> Asset:
    """The one style sheet, with the operator's colours as custom properties."""
    rules = files("service.pages").joinpath("assets/style.css").read_text("utf-8")
    body = (_themes(brand) + rules).encode()
    return Asset(path=_path("style", body, ".css"), body=body, media_type="text/css; charset=utf-8")


def logo(brand: Brand) -> Asset:
    """The operator's logo, else a mark in the operator's colours.

    Raises UnfitBrand unless the file is PNG, JPEG, WebP or SVG of at most 128 KiB.
    """
    body = _mark(brand) if brand.logo is None else _read(brand.logo)
    media_type = _media_type(body)
    if media_type is None:
        raise UnfitBrand([f"logo: {brand.logo} is no PNG, JPEG, WebP or SVG"])
    path = _path("logo", body, "")
    if media_type == _SVG:
        return Asset(path=path, body=body, media_type=media_type, policy=_SVG_POLICY)
    return Asset(path=path, body=body, media_type=media_type)


def _themes(brand: Brand) -> str:
    dark = properties(DARK, brand.accent)
    return (
        f":root{{{properties(light(brand.background), brand.accent)}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
    )


def _mark(brand: Brand) -> bytes:
    drawing = files("service.pages").joinpath("assets/mark.svg").read_text("utf-8")
    return drawing.replace("/* themes */", _themes(brand)).encode()


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            body = opened.read(_MAX_LOGO + 1)
    except OSError as error:
        raise UnfitBrand([f"logo: {file} can't be read: {error.strerror}"]) from None
    if len(body) > _MAX_LOGO:
        raise UnfitBrand([f"logo: {file} has more than {_MAX_LOGO // 1024} KiB"])
    return body


def _media_type(body: bytes) -> str | None:
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return "image/webp"
    start = body[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"<svg", b"<?xml", b"<!--")) and b"<svg" in start:
        return _SVG
    return next((name for sign, name in _SIGNATURES if body.startswith(sign)), None)


def _path(name: str, body: bytes, suffix: str) -> str:
    return f"{paths.ASSETS}/{name}.{sha256(body).hexdigest()[:16]}{suffix}"
