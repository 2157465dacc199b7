"""Whoever submitted an execution is told of its outcome: signed, at least once, also across restarts."""

from agentfield_rt.plane.webhooks.registration import Registration, check_registration
from agentfield_rt.plane.webhooks.views import WebhookEvent
from agentfield_rt.plane.webhooks.webhooks import Webhooks

__all__ = ["Registration", "WebhookEvent", "Webhooks", "check_registration"]
