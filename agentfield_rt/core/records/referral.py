"""A phone call that goes on somewhere else (SIP: REFER, RFC 3515). Part of the provider boundary."""

from typing import ClassVar

from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import Reason


class ReferRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens `refer`: the caller's phone call is to go on somewhere else. Where is content."""

    kind: ClassVar[str] = "realtime_refer_requested"
    op_id: str
    target_ref: str


class Referred(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The provider took the call over to the target; it ends here when the target has answered."""

    kind: ClassVar[str] = "realtime_referred"
    op_id: str


class ReferFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_refer_failed"
    op_id: str
    reason: Reason


class ReferUnknown(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "realtime_refer_unknown"
    op_id: str
    reason: Reason
