"""Where a request came from: what an audit event says of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """`actor` is who asked: `client:<id>` over HTTP, `operator` on the command line."""

    actor: str
    address: str | None = None
    request_id: str | None = None


OPERATOR = Origin(actor="operator")
