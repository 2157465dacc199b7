"""One streamed answer, from the role to `[DONE]`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence

from agentfield_adapters.local.brain import Act, Call, Say
from agentfield_adapters.local.chat.chunks import COMMENT, DONE, Chunks, Finish, sound
from agentfield_adapters.local.chat.kit import Kit
from agentfield_adapters.local.chat.request import ChatRequest
from agentfield_adapters.local.conversation.playback import DELTA_MS
from agentfield_adapters.local.mouth.voice import MouthFailed

_log = logging.getLogger(__name__)

_RATE_HZ = 24_000
_BYTES_A_MS = _RATE_HZ * 2 // 1000
_AUDIO_LIFETIME_S = 3600


class Reply:
    """An answer about to be sent.

    Args:
        acts: What the brain wants.
        kit: Speaks and gives ids.
    """

    def __init__(self, request: ChatRequest, acts: Sequence[Act], kit: Kit) -> None:
        self._request = request
        self._acts = acts
        self._mouth = kit.senses.mouth
        self._ids = kit.ids
        self._times_real_time = kit.times_real_time
        completion_id = kit.ids.new("chatcmpl").replace("_", "-", 1)
        self._chunks = Chunks(completion_id, request.model, created=int(time.time()), counts=request.counts)
        self._words_left = request.max_completion_tokens
        self._written = 0
        self._finish: Finish = "stop"

    async def stream(self) -> AsyncGenerator[bytes]:
        """Yield the events. Whoever stops reading stops the speech as well."""
        yield COMMENT
        yield self._chunks.delta({"role": "assistant", "content": None, "refusal": None})
        try:
            for at, act in enumerate(self._acts):
                match act:
                    case Say(text):
                        async for event in self._said(self._within_limit(text)):
                            yield event
                    case Call(name, arguments):
                        self._finish = "tool_calls"
                        for event in self._called(at, name, arguments):
                            yield event
                if self._finish == "length":
                    break
        except MouthFailed:
            _log.warning("an answer could not be spoken")
            yield self._chunks.error("Speech is not available.")
            return
        yield self._chunks.delta({}, self._finish)
        if self._request.counts:
            read = sum(len(repr(message).split()) for message in self._request.messages)
            yield self._chunks.usage(read, self._written, spoken=self._request.speaks)
        yield DONE

    async def _said(self, text: str) -> AsyncGenerator[bytes]:
        if self._request.audio is None:
            for word in _words(text):
                yield self._chunks.delta({"content": word})
                await asyncio.sleep(0)  # a client that leaves must be noticed between two words
            return
        yield self._chunks.delta({"audio": {"id": self._ids.new("audio"), "transcript": ""}})
        voice = self._request.audio.voice
        async for word, pcm in self._mouth.speak(text, voice=voice, speed=1.0, rate_hz=_RATE_HZ):
            yield self._chunks.delta({"audio": {"transcript": word}})
            for start in range(0, len(pcm), DELTA_MS * _BYTES_A_MS):
                piece = pcm[start : start + DELTA_MS * _BYTES_A_MS]
                yield self._chunks.delta(sound(piece))
                await asyncio.sleep(len(piece) / _BYTES_A_MS / 1000 / self._times_real_time)
        expires_at = int(time.time()) + _AUDIO_LIFETIME_S
        yield self._chunks.delta({"audio": {"expires_at": expires_at}})

    def _called(self, at: int, name: str, arguments: str) -> list[bytes]:
        """A call in pieces: its name, then its arguments."""
        half = len(arguments) // 2
        head = {"index": at, "id": self._ids.new("call"), "type": "function"}
        pieces = [{**head, "function": {"name": name, "arguments": ""}}]
        pieces += [
            {"index": at, "function": {"arguments": part}} for part in (arguments[:half], arguments[half:])
        ]
        self._written += 1
        return [self._chunks.delta({"tool_calls": [piece]}) for piece in pieces]

    def _within_limit(self, text: str) -> str:
        words = _words(text)
        if self._words_left is not None:
            if len(words) > self._words_left:
                self._finish = "length"
            words = words[: self._words_left]
            self._words_left -= len(words)
        self._written += len(words)
        return "".join(words)


def _words(text: str) -> list[str]:
    """Return the words of `text`, each with the space after it."""
    parts = text.split(" ")
    return [part + " " for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
