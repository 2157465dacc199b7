"""What may be passed along with work, besides its arguments."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of an execution beyond what is to be run and where it belongs.

    Attributes:
        actor_id: On whose behalf it runs.
        idempotency_key: The same key in the same run means the same execution, however often it is sent.
        context: Kept for whoever looks the execution up; the node does not get it.
        run_metadata: As `context`, about the run.
        webhook: Whom to tell of the outcome: `url`, and perhaps `secret` and `headers`.
        restart_of: The execution of which this is another try.
    """

    actor_id: str | None = None
    idempotency_key: str | None = None
    context: Mapping[str, Any] | None = None
    run_metadata: Mapping[str, Any] | None = None
    webhook: Mapping[str, Any] | None = None
    restart_of: str | None = None

    def words(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What of it is content, by name."""
        if self.context is not None:
            yield "context", self.context
        if self.run_metadata is not None:
            yield "run_metadata", self.run_metadata
        if self.webhook is not None:
            yield "webhook", self.webhook


NO_EXTRAS = Extras()
