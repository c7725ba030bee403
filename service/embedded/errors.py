"""What the embedded servers raise."""


class EmbeddedServerError(Exception):
    """An embedded server cannot do what it was asked; the text says why and what to do next."""


class PortTaken(EmbeddedServerError):
    """Another process listens on the port."""
