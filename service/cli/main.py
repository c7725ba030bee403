"""The command `watchword`."""

import click

from service.cli.audit import audit
from service.cli.clients import clients
from service.cli.context import release
from service.cli.dev import dev
from service.cli.doctor import doctor
from service.cli.keys import keys
from service.cli.operate import migrate, purge, recover
from service.cli.revoke import revoke
from service.cli.serve import serve
from service.cli.settings import settings
from service.cli.users import users
from service.cli.verifiers import verifiers


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(release(), prog_name="watchword")
def main() -> None:
    """Watchword, an OAuth authorization server.

    Commands read the WATCHWORD_* settings from the environment; `watchword dev` needs none.
    """


for _command in (
    dev,
    serve,
    migrate,
    keys,
    clients,
    users,
    revoke,
    verifiers,
    audit,
    purge,
    recover,
    doctor,
    settings,
):
    main.add_command(_command)
