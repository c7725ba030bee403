"""Reading a struct of settings from environment variables: all faults at once, no secret in one."""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

PREFIX = "WATCHWORD_"

_LONGEST = timedelta(days=36_500)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Kubernetes makes these for a Service that is called watchword; no setting of ours looks so.
_KUBERNETES = re.compile(
    r"WATCHWORD_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)"
)


class Secret:
    """A value that never shows itself in a log, a message or a repr."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


def doc(text: str, **bounds: Any) -> msgspec.Meta:
    """A field's line in docs/reference/settings.md, and its bounds."""
    return msgspec.Meta(description=text, **bounds)


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def read_environment(
    struct: type[msgspec.Struct], secrets: Collection[str], environment: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """The values of the struct's fields that the environment sets, and every fault found.

    `secrets` are the fields that NAME_FILE may name a file for.
    """
    faults = _unknown_names(struct, secrets, environment)
    values: dict[str, Any] = {}
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        try:
            text = _read(environment, field.name, may_be_file=field.name in secrets)
            if text is not None:
                values[field.name] = _convert(text, hints[field.name])
            elif field.required:
                (meta,) = hints[field.name].__metadata__
                faults.append(f"{variable(field.name)} is missing: {meta.description}")
        except (ValueError, OSError) as error:
            faults.append(f"{variable(field.name)}: {error}")
    return values, faults


def process_environment() -> Mapping[str, str]:
    """The variables of this process."""
    return os.environ


def _read(environment: Mapping[str, str], field: str, *, may_be_file: bool) -> str | None:
    """A setting's text, from its variable or, for a secret, from the file that NAME_FILE names."""
    name = variable(field)
    # Without white space around it: what is made from a file often ends in a newline.
    text = environment.get(name, "").strip()
    file = environment.get(name + "_FILE") if may_be_file else None
    if text and file:
        raise ValueError(f"set either it or {name}_FILE, not both")
    if not file:
        return text or None
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "not a file of UTF-8 text"
        raise ValueError(f"the file that {name}_FILE names can't be read: {cause}") from None
    if not text:
        raise ValueError(f"the file that {name}_FILE names is empty")
    return text


def _convert(text: str, hint: Any) -> Any:
    """A setting's value. Raises ValueError, whose text never has the value of a secret in it."""
    convert = _CONVERTERS.get(hint.__origin__)
    if convert:
        return convert(text)
    if hint.__origin__ is int and not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ValueError("must be a whole number")
    try:
        return msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _seconds(text: str) -> timedelta:
    number = re.fullmatch(r"([0-9]{1,9}) ?([smhd]?)", text)
    if not number:
        raise ValueError("must be a duration such as 30s, 5m, 12h or 90d")
    unit = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[number[2]]
    duration = timedelta(seconds=int(number[1]) * unit)
    if duration > _LONGEST:
        raise ValueError(f"must be at most {_LONGEST.days}d")
    return duration


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _names(text: str) -> tuple[str, ...]:
    if not (names := _words(text)):
        raise ValueError("must name at least one")
    return names


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(word) for word in _words(text))
    except ValueError as error:
        raise ValueError(f"{error}; write networks such as 10.0.0.0/8, with commas") from None


_CONVERTERS: dict[Any, Callable[[str], Any]] = {
    Secret: Secret,
    Secret | None: Secret,
    Path: Path,
    Path | None: Path,
    timedelta: _seconds,
    timedelta | None: _seconds,
    tuple[str, ...]: _names,
    tuple[Network, ...]: _networks,
}


def _unknown_names(
    struct: type[msgspec.Struct], secrets: Collection[str], environment: Mapping[str, str]
) -> list[str]:
    """A fault for each WATCHWORD_ name that is no setting, with the nearest that is."""
    fields = [field.name for field in msgspec.structs.fields(struct)]
    known = {field.upper() for field in fields}
    known |= {field.upper() + "_FILE" for field in secrets}
    faults: list[str] = []
    for name in sorted(environment):
        prefix, ours, rest = name.partition(PREFIX)
        if prefix or not ours or rest in known or _KUBERNETES.fullmatch(name):
            continue
        nearest = difflib.get_close_matches(rest.upper(), known, n=1)
        hint = f"; did you mean {PREFIX}{nearest[0]}?" if nearest else ""
        # A name may hold anything; what is printed stays one line.
        shown = name if name.isprintable() else ascii(name)
        faults.append(f"{shown} is no setting{hint}")
    return faults
