"""Faults as one writes them on a command line or in an address: `drop_at=7`, `status=429,retry_after_s=2`."""

from __future__ import annotations

import msgspec

from agentfield_adapters.local.faults.fault import KNOBS, Fault, FaultRefused, Knob

_NUMBERS = frozenset({"at", "times", "status", "retry_after_s", "delay_ms", "size_bytes", "chance"})
_NAMES = ", ".join(Knob)


def fault_of(text: str) -> Fault:
    """Return the fault that `text` describes: `KNOB[=VALUE][_at=N][,OPTION=VALUE]…`.

    Raises:
        FaultRefused: It describes none.
    """
    head, *options = (part.strip() for part in text.split(","))
    name, _, value = head.partition("=")
    name, at = (name.removesuffix("_at"), True) if name.endswith("_at") else (name, False)
    if name not in set(Knob):
        raise FaultRefused(f"'{name}' is no fault; there are {_NAMES}")
    knob = Knob(name)
    given: dict[str, object] = {"knob": name}
    if "=" in head:
        option = "at" if at else KNOBS[knob].option
        if not option:
            raise FaultRefused(f"'{name}' takes no value: write '{name}' or '{name}_at=N'")
        given[option] = _value(option, value)
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise FaultRefused(f"'{option}' is no option: write OPTION=VALUE")
        given[key] = _value(key, value)
    return checked_fault(given)


def checked_fault(given: object) -> Fault:
    """Return the fault that a mapping describes, or a text.

    Raises:
        FaultRefused: It describes none.
    """
    if isinstance(given, str):
        return fault_of(given)
    try:
        return msgspec.convert(given, Fault)
    except msgspec.ValidationError as error:
        raise FaultRefused(str(error)) from None


def _value(key: str, value: str) -> object:
    if key == "code":
        return int(value) if value.isdigit() else value
    if key not in _NUMBERS:
        return value
    try:
        return float(value) if key == "chance" else int(value)
    except ValueError:
        raise FaultRefused(f"'{key}' must be a number, not '{value}'") from None
