"""Bodies that are no JSON, of routes that take less than any request may bring (`guards.BodyLimit`)."""

from fastapi import Request

from agentfield_rt.plane.errors import BadRequest


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """The body, read no further than the piece that makes it too large.

    Raises:
        BadRequest: it has more than `bytes_max`.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > bytes_max:
            raise BadRequest(f"the body is larger than {bytes_max} bytes")
    return bytes(body)
