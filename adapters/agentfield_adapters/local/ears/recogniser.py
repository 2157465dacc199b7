"""The parent's end of the recogniser: turns of audio in, words out."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Protocol

from agentfield_adapters.local.child_process import ChildFailed, ChildProcess
from agentfield_adapters.local.ears.frames import (
    Answer,
    Begin,
    Expect,
    Expecting,
    Forget,
    Hear,
    Recognise,
    Recognised,
    Told,
    Words,
    answer_decoder,
)

_ANSWER_S_MAX = 5.0  # a turn takes well under a second; longer means the process hangs


class EarsFailed(Exception):
    """Nothing can be recognised: the recogniser's process is gone or hangs."""


class GrammarRefused(Exception):
    """The recogniser cannot use a grammar; the text says which word or line is wrong."""


class Hears(Protocol):
    """One conversation's recogniser, as its listener uses it. Every call but the awaited returns at once."""

    async def expect(self, grammar: str) -> None:
        """Listen for the sentences of `grammar` from now on."""
        ...

    async def recover(self) -> None:
        """After a loss, get ready again."""
        ...

    def begin(self, *, live: bool) -> None:
        """A turn begins; `live` wants words while it is spoken."""
        ...

    def hear(self, pcm: bytes) -> None:
        """Take more of the turn: mono int16 PCM at 16 kHz."""
        ...

    def recognise(self) -> asyncio.Future[Recognised]:
        """Say what the turn was so far."""
        ...


class Recognises(Protocol):
    """Where ears come from."""

    def ear(self, on_words: Callable[[list[str]], None]) -> Hears:
        """Return a new ear."""
        ...

    def forget(self, ear: Any) -> None:
        """Close an ear of this recogniser."""
        ...


class Ear:
    """One conversation's recogniser. Every call but `expect` returns without waiting.

    Args:
        child: The process shared by all ears.
        on_words: Called with the words so far while a live turn is spoken.
    """

    def __init__(
        self, key: int, child: ChildProcess[Told, Answer], on_words: Callable[[list[str]], None]
    ) -> None:
        self._key = key
        self._child = child
        self._on_words = on_words
        self._turn = 0
        self._requests = itertools.count(1)
        self._open: dict[int, asyncio.Future[Recognised]] = {}
        self._expecting: asyncio.Future[str | None] | None = None
        self._grammar: str | None = None
        self._lost = False

    async def expect(self, grammar: str) -> None:
        """Listen for the sentences of `grammar` from now on.

        Raises:
            GrammarRefused: It is not valid JSGF or has a word of unknown pronunciation.
            EarsFailed: The process is gone.
        """
        self._expecting = asyncio.get_running_loop().create_future()
        try:
            await self._child.start()
            self._tell(Expect(self._key, grammar))
            async with asyncio.timeout(_ANSWER_S_MAX):
                problem = await self._expecting
        except TimeoutError:
            raise EarsFailed(f"the recogniser did not answer within {_ANSWER_S_MAX:.0f} s") from None
        finally:
            self._expecting = None
        if problem is not None:
            raise GrammarRefused(problem)
        self._grammar = grammar
        self._lost = False

    def begin(self, *, live: bool) -> None:
        """Begin a turn; audio of one that was not recognised is forgotten."""
        self._turn += 1
        self._tell(Begin(self._key, self._turn, live))

    def hear(self, pcm: bytes) -> None:
        """Add audio to the turn: mono int16 PCM at 16 kHz."""
        self._tell(Hear(self._key, pcm))

    def recognise(self) -> asyncio.Future[Recognised]:
        """Ask what the turn is so far. Dropping the answer costs nothing but the work."""
        request = next(self._requests)
        future: asyncio.Future[Recognised] = asyncio.get_running_loop().create_future()
        self._open[request] = future
        future.add_done_callback(lambda _: self._open.pop(request, None))
        self._tell(Recognise(self._key, request))
        return future

    async def recover(self) -> None:
        """After the process was lost, teach the new one what this ear listens for."""
        if self._lost and self._grammar is not None:
            await self.expect(self._grammar)

    def close(self) -> None:
        """Free what the process holds for this ear."""
        if self._child.running:
            self._child.tell(Forget(self._key))

    def answered(self, answer: Answer) -> None:
        """Take what the process says to this ear."""
        match answer:
            case Expecting(problem=problem):
                if self._expecting is not None and not self._expecting.done():
                    self._expecting.set_result(problem)
            case Words(turn=turn, words=words):
                if turn == self._turn:
                    self._on_words(words)
            case Recognised(request=request):
                if (future := self._open.get(request)) is not None and not future.done():
                    future.set_result(answer)

    def lost(self) -> None:
        """The process is gone: fail what waits for it."""
        self._lost = True
        ended = EarsFailed("the recogniser's process ended")
        for future in tuple(self._open.values()):
            if not future.done():
                future.set_exception(ended)
        if self._expecting is not None and not self._expecting.done():
            self._expecting.set_exception(ended)

    def _tell(self, message: Told) -> None:
        try:
            self._child.tell(message)
        except ChildFailed as error:
            raise EarsFailed(str(error)) from error


class Recogniser:
    """One warm process for the ears of all conversations of a provider."""

    def __init__(self) -> None:
        self._keys = itertools.count(1)
        self._ears: dict[int, Ear] = {}
        self._child: ChildProcess[Told, Answer] = ChildProcess(
            "agentfield_adapters.local.ears.process",
            answer_decoder,
            on_answer=self._answered,
            on_end=self._ended,
        )

    async def start(self) -> None:
        """Start the process, so that the first turn does not wait for it."""
        await self._child.start()

    async def stop(self) -> None:
        """End the process."""
        await self._child.stop()

    def ear(self, on_words: Callable[[list[str]], None]) -> Ear:
        """Return a new ear; it hears nothing before `expect`."""
        key = next(self._keys)
        self._ears[key] = Ear(key, self._child, on_words)
        return self._ears[key]

    def forget(self, ear: Ear) -> None:
        """Close an ear."""
        ear.close()
        self._ears = {key: kept for key, kept in self._ears.items() if kept is not ear}

    def _answered(self, answer: Answer) -> None:
        if (ear := self._ears.get(answer.ear)) is not None:
            ear.answered(answer)

    def _ended(self) -> None:
        for ear in self._ears.values():
            ear.lost()
