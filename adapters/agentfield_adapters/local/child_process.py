"""A helper process spoken to over its pipes: length-prefixed msgpack frames both ways.

Ears and mouth live in such processes: the recogniser because it would stall the event loop, the synthesiser
because of its licence. It must not know what the frames mean. A child ends when its input does, so a
provider that is killed leaves none behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, Generic, TypeVar

import msgspec

_LENGTH = struct.Struct("<I")
FRAME_BYTES_MAX = 64 * 1024 * 1024
_STOP_S = 2.0

Told = TypeVar("Told")
Answer = TypeVar("Answer")


class ChildFailed(Exception):
    """A helper process ended or sent nonsense: a fault of this machine or a bug of this provider."""


class ChildProcess(Generic[Told, Answer]):
    """The parent's end of one helper process.

    Args:
        module: What `python -m` runs in the child.
        decoder: Of the child's frames.
        on_answer: Called on the event loop for each frame.
        on_end: Called once when the child is gone.
    """

    def __init__(
        self,
        module: str,
        decoder: msgspec.msgpack.Decoder[Answer],
        *,
        on_answer: Callable[[Answer], None],
        on_end: Callable[[], None],
    ) -> None:
        self._module = module
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()
        self._on_answer = on_answer
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._is_lost = False

    @property
    def running(self) -> bool:
        """Whether the child can be told anything."""
        return self._process is not None and self._process.returncode is None and not self._is_lost

    async def start(self) -> None:
        """Start the child; a child that runs is left alone."""
        async with self._starting:
            if not self.running:
                await self._start()

    async def _start(self) -> None:
        if self._reading is not None:
            await self._reading  # tells the end of the one before
        self._is_lost = False
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a file in the working directory must not shadow a module
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1024 * 1024,
        )
        self._reading = asyncio.create_task(self._read(self._process), name=f"read {self._module}")

    def tell(self, message: Told) -> None:
        """Send one frame without waiting.

        Raises:
            ChildFailed: The child is not running.
        """
        if self._process is None or self._process.stdin is None or not self.running:
            raise ChildFailed(f"{self._module} is not running")
        body = self._encoder.encode(message)
        self._process.stdin.write(_LENGTH.pack(len(body)) + body)

    async def stop(self) -> None:
        """End the child and wait for it, at most two seconds before it is killed."""
        if self._process is None or self._process.stdin is None or self._reading is None:
            return
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while True:
                (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
                if length > FRAME_BYTES_MAX:
                    raise ChildFailed(f"{self._module} sent a frame of {length} bytes")
                self._on_answer(self._decoder.decode(await process.stdout.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the child has ended; on_end tells
        finally:
            self._is_lost = True
            self._on_end()


def frames_from(source: BinaryIO, decoder: msgspec.msgpack.Decoder[Told]) -> Iterator[Told]:
    """Yield the frames of the parent, in the child, until the parent is gone."""
    while header := source.read(_LENGTH.size):
        (length,) = _LENGTH.unpack(header)
        yield decoder.decode(source.read(length))


class Answers(Generic[Answer]):
    """The child's way to answer; a parent that is gone ends the child."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._encoder = msgspec.msgpack.Encoder()

    def send(self, answer: Answer) -> None:
        """Send one frame at once."""
        body = self._encoder.encode(answer)
        try:
            self._sink.write(_LENGTH.pack(len(body)) + body)
            self._sink.flush()
        except BrokenPipeError:
            os._exit(0)  # no one is left to hear it, and half a frame must not be flushed at exit


def child_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Prepare a child: Ctrl-C is the parent's business, and stray prints must not spoil the frames.

    Returns:
        Where frames come from and where answers go.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, sink
