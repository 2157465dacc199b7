"""What schemathesis has to be told of our API (`SCHEMATHESIS_HOOKS`)."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/sdp")
def sdp(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """An offer, or what is none, as it is."""
    return str(value).encode(errors="replace")
