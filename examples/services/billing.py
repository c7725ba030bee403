"""billing, by FastAPI: services have invoices written, people read their own.

Run it with `uvicorn examples.services.billing:app`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

import httpx
from fastapi import Depends, FastAPI, HTTPException, Response
from pydantic import BaseModel
from watchword_verifier import Claims, Verifier
from watchword_verifier.fastapi import Bearer, ProtectedResource, install

from examples.services.machine_token import MachineToken

CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])

verifier = Verifier(
    issuer=os.environ["WATCHWORD_ISSUER"],
    audience="https://shop.example",
    revocations=os.environ["WATCHWORD_REDIS_URL"],
    client=CLIENT,  # reports how far this verifier has come
)
bearer = Bearer(verifier, resource=ProtectedResource.of(verifier, "billing:read", "billing:write"))
orders = httpx.AsyncClient(
    base_url=os.environ["ORDERS_URL"],
    auth=MachineToken(verifier.issuer, CLIENT, "orders:read"),
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close what is open."""
    async with orders:
        yield


app = FastAPI(title="billing", lifespan=lifespan)
install(app, bearer)

Reader = Annotated[Claims, Depends(bearer.require_scope("billing:read"))]


class NewInvoice(BaseModel):
    """What the orders service sends."""

    order: str
    customer: str
    cents: int


class Invoice(NewInvoice):
    """An invoice; `customer` is the user's id."""

    id: str


INVOICES: dict[str, Invoice] = {}


@app.post(
    "/invoices",
    status_code=201,
    dependencies=[Depends(bearer.require_scope("billing:write"))],
)
async def write_invoice(new: NewInvoice) -> Invoice:
    """Write an invoice; no app that people use is given this scope."""
    invoice = Invoice(id=uuid4().hex, **new.model_dump())
    INVOICES[invoice.id] = invoice
    return invoice


@app.get("/invoices")
async def list_invoices(claims: Reader) -> list[Invoice]:
    """A user's own invoices; all of them for a service."""
    return [invoice for invoice in INVOICES.values() if may_read(claims, invoice)]


@app.get("/invoices/{invoice_id}")
async def get_invoice(invoice_id: str, claims: Reader) -> dict[str, object]:
    """One invoice, with what was ordered."""
    invoice = INVOICES.get(invoice_id)
    if invoice is None or not may_read(claims, invoice):
        raise HTTPException(404)
    order = (await orders.get(f"/orders/{invoice.order}")).raise_for_status().json()
    return {**invoice.model_dump(), "item": order["item"]}


def may_read(claims: Claims, invoice: Invoice) -> bool:
    """Whether it is the user's own, or a service asks, which has no user behind it."""
    return not claims.is_user or invoice.customer == claims.subject


@app.get("/readyz")
async def readyz(response: Response) -> None:
    """Whether tokens can be judged yet."""
    response.status_code = 200 if verifier.ready else 503
