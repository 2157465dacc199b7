"""`@app.session(…)`, and what may be said of a session afterwards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentfield_rt.agent.declaring import Declarations
from agentfield_rt.agent.definition import SessionDefinition, SessionFunction
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.core.rules.rule import Rule
from agentfield_rt.core.rules.ruleset import compile_rules
from agentfield_rt.errors import UnsupportedTransport
from agentfield_rt.ports import SessionConfig
from agentfield_rt.registry import validate_pair
from agentfield_rt.turn_detection import TurnDetection, validate_turn_detection


def _detection(given: Mapping[str, Any] | None, provider: str, transport: str) -> TurnDetection | None:
    detection = validate_turn_detection(given, provider=provider, transport=transport)
    if detection is not None:
        detection["create_response"] = False  # the handler answers
    return detection


class SessionDeclarations(Declarations):
    """Sessions by name, besides reasoners and skills."""

    def __init__(self, owner: str, *, tags: Sequence[str] = ()) -> None:
        super().__init__(owner, tags=tags)
        self.sessions: dict[str, SessionDefinition] = {}

    def session(  # noqa: PLR0913 - AgentField's signature
        self,
        name: str,
        *,
        provider: str,
        transport: str,
        model: str | None = None,
        modalities: Sequence[str] = ("audio", "text"),
        voice: str | None = None,
        tools: Sequence[str | ApprovalRule] = (),
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        turn_detection: Mapping[str, Any] | None = None,
        instructions: str = "",
        phrases: Sequence[str] = (),
        rules: Mapping[str, str] | None = None,
        apology: str | None = "Sorry, something went wrong on my side. Please say that again.",
    ) -> Callable[[SessionFunction], SessionFunction]:
        """Declare a session. The function is run for each call and asks for turns with `session.input()`.

        Args:
            name: The second half of the target, `node_id.name`.
            provider: Who runs the realtime model: `local`, `openai`, `openrouter`.
            transport: How audio and events move: `webrtc`, `websocket`, `audio_turns`.
            model: The provider's name of it; its own choice when left out. A caller may ask for another.
            modalities: `audio`, `text` or both: how the agent may answer.
            voice: The provider's name of it; as `model`.
            tools: Targets the model may call by itself; of an `ApprovalRule`, each call that is approved.
            tags: For whoever looks sessions up; they stand in the journal, so no personal data.
            metadata: What the handler and the page get to know; a caller may add to it.
            turn_detection: The provider's object; server_vad when left out, push to talk if its type is none.
            instructions: What the provider's model is told, for `session.reply`.
            phrases: What callers may say, in JSGF right-hand-side syntax: a hint for the recogniser.
            rules: Named parts of `phrases`, `{"number": "one | two"}` for `<number>`.
            apology: Said when the function raises, or says nothing to a turn for 300 s; None says nothing.

        Raises:
            UnsupportedTransport: the pair does not exist.
            InvalidTurnDetection: `turn_detection` is not one a provider takes.
        """
        provider_name, transport_name = validate_pair(provider, transport)
        config = SessionConfig(
            model=model,
            voice=voice,
            instructions=instructions,
            modalities=tuple(modalities),
            phrases=tuple(phrases),
            rules=dict(rules or {}),
            turn_detection=_detection(turn_detection, provider_name, transport_name),
        )

        def declare(function: SessionFunction) -> SessionFunction:
            if name in self.sessions:
                raise ValueError(f"{self._owner} has a session {name!r} already")
            self.sessions[name] = SessionDefinition(
                name=name,
                provider=provider_name,
                transport=transport_name,
                config=config,
                tools=tuple(tool if isinstance(tool, str) else tool.target for tool in tools),
                approvals=tuple(tool for tool in tools if isinstance(tool, ApprovalRule)),
                tags=tuple(tags),
                metadata=dict(metadata or {}),
                apology=apology,
                function=function,
            )
            return function

        return declare

    def watch(self, session: str, *rules: Rule) -> None:
        """Let stream rules stand over the text of a session declared before, after those it has already.

        Args:
            session: Its name, the second half of its target.
            rules: What to watch for, and what to do about it; see `agentfield_rt.rules`.

        Raises:
            ValueError: no session of this name is declared.
            RefusedRule: a rule cannot be held as it is declared; none of them is taken.
        """
        definition = self._declared(session)
        together = (*definition.stream_rules, *rules)
        compile_rules(together)
        self.sessions[session] = replace(definition, stream_rules=together)

    def record(self, session: str) -> None:
        """Record both sides of every call of a session declared before; see `af session recording`.

        Whoever starts one is told so in the answer (`recorded`), and is to tell the caller, who has to agree
        in most places.

        Args:
            session: Its name, the second half of its target.

        Raises:
            ValueError: no session of this name is declared.
            UnsupportedTransport: its media flows browser ↔ provider, where we hear nothing.
        """
        definition = self._declared(session)
        if definition.transport == "webrtc":
            raise UnsupportedTransport(
                f"session {session!r} cannot be recorded: with transport=webrtc no media comes here; "
                "declare it with transport=websocket"
            )
        self.sessions[session] = replace(definition, recorded=True)

    def _declared(self, session: str) -> SessionDefinition:
        definition = self.sessions.get(session)
        if definition is None:
            raise ValueError(f"{self._owner} has no session {session!r}; declare it first")
        return definition
