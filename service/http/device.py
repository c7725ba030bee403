"""What a session is called in the list of its user: which program on which system began it."""

from litestar.types import Scope

from service.http.headers import header_values

_MAX = 100
# In this order: each of the first names itself, and some of the later ones, too.
_PROGRAMS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def describe_device(scope: Scope, named: str | None) -> str | None:
    """What an app calls its device, else what its User-Agent says; None if neither says much."""
    if named is not None:
        return _printable(named) or None
    agents = header_values(scope["headers"], b"user-agent")
    agent = agents[0].decode("latin-1") if agents else ""
    program = next((name for sign, name in _PROGRAMS if sign in agent), None)
    system = next((name for sign, name in _SYSTEMS if sign in agent), None)
    if program and system:
        return f"{program} on {system}"
    return program or system or _printable(agent) or None


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:_MAX].strip()
