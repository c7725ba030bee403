"""The certificate that the server presents, where it ends TLS itself."""

from datetime import datetime
from pathlib import Path

from cryptography import x509


def read_expiry(file: Path) -> datetime | None:
    """When the first certificate of a PEM file expires; None if it has none that can be read."""
    try:
        first, *_ = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return None  # who serves with it says so better
    return first.not_valid_after_utc
