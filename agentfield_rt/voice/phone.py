"""What belongs to the call and not to what is said in it: where it goes on, and who else meddled with it."""

import re
from collections.abc import Callable

from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import OperationName
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.errors import IllegalCommand, ProviderError, UnsupportedTransport
from agentfield_rt.frames import CallTampered, DigitDialled, ProviderEvent
from agentfield_rt.voice.digits import Digits

_TARGET = re.compile(r"(?:tel:\+?[0-9*#().-]{1,64}|sips?:[!-;=?-~]{1,256})")


class PhoneCall:
    """A session's call.

    Args:
        is_phone: It rang at the provider; otherwise a browser made it, or nobody did.
    """

    def __init__(
        self,
        controller: RealtimeSessionController,
        digits: Digits,
        record: Callable[[Record], None],
        *,
        keep: Callable[[str], str],
        is_phone: bool,
    ) -> None:
        self._is_phone = is_phone
        self._controller = controller
        self._digits = digits
        self._record = record
        self._keep = keep

    async def refer(self, target_uri: str) -> None:
        """Let the call go on at `tel:+15550100` or `sip:desk@example.com`; see `RealtimeSession.refer`."""
        if not _TARGET.fullmatch(target_uri):
            raise IllegalCommand("a call is handed on to an address such as tel:+15550100 or sip:desk@host")
        if not self._is_phone:
            raise UnsupportedTransport(
                "only a phone call can be handed on, and this session answers none: "
                "it needs openai/webrtc or local/webrtc and a number in AGENTFIELD_RT_PHONE_TARGETS"
            )
        try:
            await self._controller.refer(target_uri, target_ref=self._keep(target_uri))
        except ProviderError as error:
            if not error.not_done:
                self._abandon_doubt()
            raise

    def _abandon_doubt(self) -> None:
        """It is not tried again by itself, and whoever asks again knows what was in doubt."""
        for op_id, operation in self._controller.state.unknown.items():
            if operation.name is OperationName.REFER:
                self._controller.reconcile(op_id, Decision.ABANDONED)

    def handle(self, event: ProviderEvent) -> None:
        """Take a digit, and write down what somebody else on the call changed of what is ours to decide."""
        match event:
            case DigitDialled(digit):
                self._digits.hear(digit)
            case CallTampered(what):
                meddled = f"changed by somebody else on the call: {', '.join(what)}"
                self._record(records.PolicyDenied(subject_ref=self._keep(meddled)))
            case _:
                pass
