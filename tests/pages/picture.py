"""Sign-in and consent in two brands, for docs/how-to/brand-the-pages.md.

python -m tests.pages.picture docs/how-to/two-brands.webp
"""

import base64
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from service.pages.brand import Brand
from tests.pages.test_in_browser import SITE, Site

_LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">
<rect width="40" height="40" rx="20" fill="#d9480f"/>
<path d="M10 17h20l-2-6H12zm2 3v10h16V20" fill="none" stroke="#fff" stroke-width="2.5"/>
</svg>"""
_WIDTH, _HEIGHT = 460, 840
_SHOWN = ("sign_in", "consent")
_JOIN = """async (images) => {
  const shots = await Promise.all(images.map(async (each) => {
    const image = new Image();
    image.src = `data:image/png;base64,${each}`;
    await image.decode();
    return image;
  }));
  const canvas = document.createElement("canvas");
  canvas.width = shots.reduce((width, shot) => width + shot.width, 0);
  canvas.height = shots[0].height;
  shots.reduce((left, shot) => {
    canvas.getContext("2d").drawImage(shot, left, 0);
    return left + shot.width;
  }, 0);
  return canvas.toDataURL("image/webp", 0.9);
}"""


def _brands(folder: Path) -> tuple[Brand, Brand]:
    """As delivered, and as somebody's."""
    logo = folder / "logo.svg"
    logo.write_text(_LOGO)
    own = Brand(name="Kiosk", logo=logo, accent="#d9480f", background="#fdf6ee")
    return (Brand(), own)


def _shoot(browser: Browser, name: str, brand: Brand) -> bytes:
    """One page of a brand, as a PNG."""
    size = {"width": _WIDTH, "height": _HEIGHT}
    context = browser.new_context(viewport=size, reduced_motion="reduce")  # pyright: ignore[reportArgumentType]
    context.route("**/*", Site(name, brand).answer)
    page = context.new_page()
    page.goto(f"{SITE}/page")
    page.evaluate("document.activeElement.blur()")
    picture = page.screenshot()
    context.close()
    return picture


def draw(target: Path) -> None:
    """All four side by side; needs Debian's Chromium."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        brands = _brands(Path(folder))
        shots = [_shoot(browser, name, brand) for brand in brands for name in _SHOWN]
        images = [base64.b64encode(shot).decode() for shot in shots]
        drawn: str = browser.new_page().evaluate(_JOIN, images)
        target.write_bytes(base64.b64decode(drawn.partition(",")[2]))
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
