"""What several pages show: the client that asks, the user, what is wrong with a field."""

from service.http.authorize import Asked
from service.http.page import OURS
from service.oauth.redirect_uri import assures_identity, origin_of
from service.oauth.sign_on import SignOn
from service.oauth.user import Profile
from service.pages.views import Application, Fault, Faults, Person

_NEEDED = ("full_name", "email", "username")


def application_of(name: str, redirect_uri: str = "https://") -> Application:
    """The client as its users see it: its name, and where the browser goes afterwards."""
    return Application(
        name=name,
        host=origin_of(redirect_uri).rpartition("/")[2],
        on_device=not assures_identity(redirect_uri),
    )


def asking(asked: Asked | None) -> Application | None:
    """The client that a page is shown for, if it is for one."""
    return application_of(asked.client.name, asked.target.redirect_uri) if asked else None


def form_action_for(asked: Asked | None) -> str | None:
    """Where a form on the way to a client may lead: that can't be said.

    Browsers hold every redirect that follows a form to its page's form-action, those of the client
    too, which may send its user on to any site: a page can't name them all (AUTHZ-16).
    """
    return None if asked else OURS


def person_of(sign_on: SignOn) -> Person:
    """The user as shown to the user."""
    return Person(username=sign_on.username, email=sign_on.email, full_name=sign_on.full_name)


def profile_faults(profile: Profile, needed: tuple[str, ...] = _NEEDED) -> dict[str, Fault | str]:
    """What is wrong with what was typed, by field."""
    faults: dict[str, Fault | str] = {
        name: Fault.MISSING for name in needed if not getattr(profile, name)
    }
    return faults | {name: Fault.UNFIT for name in profile.faults() if name not in faults}


def in_order(faults: Faults, fields: tuple[str, ...]) -> dict[str, Fault | str]:
    """The faults as the form has its fields, so that the first is the first to mend."""
    return {name: faults[name] for name in fields if name in faults}
