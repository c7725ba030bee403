"""POST /revocations/receipts: a verifier reports how far it has followed the feed."""

from service.flows.origin import Origin
from service.http.form import Form
from service.http.services import Services
from service.oauth.client import Client
from service.oauth.errors import InvalidRequest, UnauthorizedClient
from service.oauth.receipt import read_name, read_receipt


async def receipts(services: Services, client: Client, form: Form, _: Origin) -> None:
    """Note the receipt under the client's own id; `gone` instead of a place says goodbye."""
    require_confidential(client)
    name = form.require("name")
    gone = form.get("gone")
    if gone is not None:
        if gone != "true":
            raise InvalidRequest("gone must be true, or left out")
        await services.receipts.forget(client.id, read_name(name))
        return
    receipt = read_receipt(
        client.id,
        name=name,
        epoch=form.require("epoch"),
        number=form.require("number"),
        kids=form.get("kids") or "",
    )
    await services.receipts.note(receipt)


def require_confidential(client: Client) -> None:
    """Refuse a public client: anybody can say that it is one. Raises UnauthorizedClient."""
    if client.is_public:
        raise UnauthorizedClient("only a confidential client may do this")
