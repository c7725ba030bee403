"""orders, by Litestar: people place orders; billing writes the invoice for each.

Run it with `uvicorn examples.services.orders:app`.
"""

import os
from dataclasses import dataclass
from uuid import uuid4

import httpx
from litestar import Litestar, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from watchword_verifier import Claims, Verifier
from watchword_verifier.litestar import BearerPlugin, ProtectedResource, require_scope

from examples.services.machine_token import MachineToken

CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])

verifier = Verifier(
    issuer=os.environ["WATCHWORD_ISSUER"],
    audience="https://shop.example",
    revocations=os.environ["WATCHWORD_REDIS_URL"],  # in production as a user who can only read
    client=CLIENT,  # reports how far this verifier has come
)
# What orders does at billing it does in its own name: no user's token is passed on.
billing = httpx.AsyncClient(
    base_url=os.environ["BILLING_URL"],
    auth=MachineToken(verifier.issuer, CLIENT, "billing:write"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """What a customer sends."""

    item: str
    cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order; `customer` is the user's id."""

    id: str
    customer: str
    item: str
    cents: int
    invoice: str


ORDERS: dict[str, Order] = {}


@post("/orders", guards=[require_scope("orders:write")])
async def place_order(data: NewOrder, claims: NamedDependency[Claims]) -> Order:
    """Place an order, and have its invoice written."""
    order_id, customer = uuid4().hex, claims.subject
    charge = {"order": order_id, "customer": customer, "cents": data.cents}
    answer = await billing.post("/invoices", json=charge)
    invoice: str = answer.raise_for_status().json()["id"]
    order = Order(id=order_id, customer=customer, item=data.item, cents=data.cents, invoice=invoice)
    ORDERS[order.id] = order
    return order


@get("/orders", guards=[require_scope("orders:read")])
async def list_orders(claims: NamedDependency[Claims]) -> list[Order]:
    """A user's own orders; all of them for a service."""
    return [order for order in ORDERS.values() if may_read(claims, order)]


@get("/orders/{order_id:str}", guards=[require_scope("orders:read")])
async def get_order(order_id: str, claims: NamedDependency[Claims]) -> Order:
    """One order."""
    order = ORDERS.get(order_id)
    if order is None or not may_read(claims, order):
        raise NotFoundException
    return order


def may_read(claims: Claims, order: Order) -> bool:
    """Whether it is the user's own, or a service asks, which has no user behind it."""
    return not claims.is_user or order.customer == claims.subject


@get("/readyz")
async def readyz() -> Response[None]:
    """Whether tokens can be judged yet."""
    return Response(None, status_code=200 if verifier.ready else 503)


app = Litestar(
    [place_order, list_orders, get_order, readyz],
    plugins=[
        BearerPlugin(
            verifier, resource=ProtectedResource.of(verifier, "orders:read", "orders:write")
        )
    ],
    on_shutdown=[billing.aclose],
)
