"""Where providers tell of phone calls that ring: webhooks, believed by their signature alone."""

import time
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from agentfield_rt.config import Settings
from agentfield_rt.plane.errors import BadRequest, NotFound, Unauthorised
from agentfield_rt.plane.http.bodies import read_body
from agentfield_rt.plane.http.dependencies import Plane
from agentfield_rt.plane.telephony.phone import incoming_call
from agentfield_rt.webhooks import WebhookRefused, WebhookSecret

BODY_BYTES_MAX = 64 * 1024

router = APIRouter(prefix="/api/v1", tags=["phone calls"])


@router.post("/webhooks/{provider}", status_code=202)
async def webhook(provider: Literal["openai", "local"], request: Request, plane: Plane) -> Response:
    """Take a provider's webhook. A call that rings is answered or refused; other events are none of ours.

    202 says that it need not come again: the call's session is in the journal, or the call is being refused.
    """
    secret = _secret(plane.settings, provider)
    body = await read_body(request, bytes_max=BODY_BYTES_MAX)
    try:
        secret.verified(request.headers, body, now_s=int(time.time()))
    except WebhookRefused as refusal:
        raise Unauthorised(str(refusal)) from None
    try:
        call = incoming_call(body)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if call is not None:
        await plane.phones.ring(provider, call)
    return Response(status_code=202)


def _secret(settings: Settings, provider: str) -> WebhookSecret:
    secrets: dict[str, tuple[SecretStr | None, str]] = {
        "openai": (settings.openai_webhook_secret, "OPENAI_WEBHOOK_SECRET"),
        "local": (settings.local_webhook_secret, "AGENTFIELD_RT_LOCAL_WEBHOOK_SECRET"),
    }
    secret, variable = secrets[provider]
    if secret is None:
        raise NotFound(f"this server takes no webhooks of {provider}: {variable} is not set")
    return WebhookSecret(secret.get_secret_value())
