"""Where a command's input comes from: the line itself, a file, stdin."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from agentfield_rt.cli.failures import Failure


def read_offer(sdp: str | None) -> bytes:
    """The SDP offer: given, in a file, or on stdin.

    Raises:
        Failure: there is none.
    """
    if sdp is not None and sdp.startswith("@"):
        path = Path(sdp[1:])
        offer = _read_file(path, "SDP file")
        if not offer.strip():
            raise Failure(f"SDP file {path} is empty")
        return offer
    offer = _read_stdin() if sdp in (None, "-") else str(sdp).encode()
    if not offer.strip():
        raise Failure("SDP offer required; pass --sdp, --sdp @path, or pipe SDP on stdin")
    return offer


def read_input(given: str | None) -> dict[str, Any]:
    """A tool's input: inline JSON, a file of JSON or YAML, or (`-`, None) JSON on stdin; no text is `{}`.

    Raises:
        Failure: it is no JSON object.
    """
    is_yaml = False
    if given is None or given == "-":
        text = _read_stdin()
    elif given.startswith("@"):
        path = Path(given[1:])
        text, is_yaml = _read_file(path, "input file"), path.suffix in (".yaml", ".yml")
    else:
        text = given.encode()
    try:
        decode = msgspec.yaml.decode if is_yaml else msgspec.json.decode
        return decode(text if text.strip() else b"{}", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise Failure(f"the input must be a JSON object ({error})") from None
    except RecursionError:
        raise Failure("the input is nested too deeply") from None


def _read_file(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{kind} {path} cannot be read: {error.strerror}") from error


def _read_stdin() -> bytes:
    return b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
