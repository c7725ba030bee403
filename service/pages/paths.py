"""Where the pages' forms and links go, below the issuer's path."""

SIGN_IN = "/login"
REGISTER = "/register"
CONSENT = "/consent"
SIGN_OUT = "/logout"
ACCOUNT = "/account"
PROFILE = "/account/profile"
NAMES = "/account/names"
PASSWORD = "/account/password"  # noqa: S105 (a path)
SESSIONS = "/account/sessions"
CONSENTS = "/account/consents"
ASSETS = "/assets"
