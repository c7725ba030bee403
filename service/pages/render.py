"""Views to HTML: the only importer of Jinja2, and no I/O after the start.

Whatever a template shows is escaped, and rid of what can't be seen; `|e` in a template marks the
one exception, values that have to come back byte for byte.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from service.oauth.password import MIN_CODE_POINTS
from service.pages import paths, views
from service.pages.assets import Asset, logo, style_sheet
from service.pages.brand import Brand
from service.pages.texts import Texts, short, visible
from service.pages.times import age, duration
from service.pages.views import AskedScope, Fault, View

Page = (
    views.SignIn
    | views.Register
    | views.Consent
    | views.ConfirmSignOut
    | views.SignedOut
    | views.ErrorPage
    | views.Account
    | views.FormPost
)

# Scopes with words of ours; no other value may choose a key.
_KNOWN_SCOPES = {"openid", "profile", "email", "offline_access", "watchword:admin"}
_ON_PHONES = ("iPhone", "iPad", "Android")


class Pages:
    """All pages in the operator's look. Raises UnfitBrand if the logo can't be used.

    `base_path` is the issuer's, without a slash at its end.
    """

    def __init__(self, brand: Brand, *, base_path: str = "", language: str = "en") -> None:
        self._texts = Texts(language)
        self.style: Asset = style_sheet(brand)
        self.logo: Asset = logo(brand)
        environment = Environment(
            loader=PackageLoader("service.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_clean,
        )
        environment.globals.update(self._names(brand, base_path))
        # Now, not when the first person comes.
        kinds: tuple[type[View], ...] = get_args(Page)
        self._templates = {kind: environment.get_template(kind.template) for kind in kinds}

    def render(self, page: Page) -> str:
        """The whole document."""
        return self._templates[type(page)].render(page=page)

    def _names(self, brand: Brand, base_path: str) -> dict[str, Any]:
        """What every template may use."""
        return {
            "brand": brand,
            "t": self._texts,
            "to": SimpleNamespace(
                **{name: base_path + path for name, path in vars(paths).items() if name.isupper()}
            ),
            "style": base_path + self.style.path,
            "logo": base_path + self.logo.path,
            "least_password": MIN_CODE_POINTS,
            "fault_text": self._fault_text,
            "scope_text": self._scope_text,
            "ended_text": self._ended_text,
            "age": partial(age, self._texts),
            "duration": partial(duration, self._texts),
            "short": short,
            "initial": initial,
            "device_icon": device_icon,
        }

    def _fault_text(self, name: str, fault: Fault | str) -> Markup:
        if fault is Fault.UNFIT:
            return self._texts(f"fault.unfit.{name}")
        if isinstance(fault, Fault):
            return self._texts(f"fault.{fault}", field=self._texts.plain(f"field.{name}"))
        return Markup("{}").format(visible(fault))

    def _scope_text(self, asked: AskedScope) -> Markup:
        if asked.value in _KNOWN_SCOPES:
            return self._texts(f"scope.{asked.value}")
        if asked.description:
            return Markup("<bdi>{}</bdi>").format(visible(asked.description))
        code = Markup("<code>{}</code>").format(visible(asked.value))
        return self._texts("scope.unknown", scope=code)

    def _ended_text(self, reason: str) -> Markup:
        key = f"ended.{reason}"
        return self._texts(key if key in self._texts.keys else "ended.unknown")


def initial(name: str) -> str:
    """The first letter or digit of a name, for its tile; a mark of ours when it has none."""
    return next((each.upper() for each in name if each.isalnum()), "\N{BULLET}")


def device_icon(device: str | None) -> str:
    """Which picture stands beside a session."""
    if device is None:
        return "unknown"
    if device.startswith("curl"):
        return "terminal"
    return "phone" if any(word in device for word in _ON_PHONES) else "desktop"


def _clean(value: Any) -> Any:
    # What is Markup was cleaned where it was made, or has to stay as it is.
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
