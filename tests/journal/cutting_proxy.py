"""A TCP proxy that cuts a connection at a chosen message of its protocol: PostgreSQL's or NATS's."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Protocol, Self


class Side(Enum):
    """Where a message was going when the connection was cut."""

    TO_SERVER = auto()
    TO_CLIENT = auto()


class Framing(Protocol):
    """Takes a stream's bytes as they come, gives its messages one by one."""

    def feed(self, data: bytes) -> list[bytes]: ...


class PostgresFraming:
    """Type, length, body; only a client's first message has no type. TLS must be off."""

    def __init__(self, side: Side) -> None:
        self._buffer = b""
        self._typed = side is Side.TO_CLIENT

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        frames: list[bytes] = []
        while True:
            length_at = 1 if self._typed else 0
            size = length_at + int.from_bytes(self._buffer[length_at : length_at + 4], "big")
            if len(self._buffer) < max(size, length_at + 4):
                return frames
            frames.append(self._buffer[:size])
            self._buffer = self._buffer[size:]
            self._typed = True


class NatsFraming:
    """Lines; those of messages end with the size of what follows."""

    def __init__(self, side: Side) -> None:
        del side
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        frames: list[bytes] = []
        while (end := self._buffer.find(b"\r\n")) >= 0:
            words = self._buffer[:end].split()
            size = end + 2
            if words and words[0].upper() in (b"PUB", b"HPUB", b"MSG", b"HMSG"):
                size += int(words[-1]) + 2
            if len(self._buffer) < size:
                break
            frames.append(self._buffer[:size])
            self._buffer = self._buffer[size:]
        return frames


class CuttingProxy:
    """Listens on `port` of this machine, as a context. Passes everything on until it is told to cut."""

    def __init__(self, upstream_port: int, framing: Callable[[Side], Framing]) -> None:
        self._upstream_port = upstream_port
        self._framing = framing
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._cut_at: tuple[Side, Callable[[bytes], bool], int] | None = None
        self.made_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def cut(self, side: Side, at: Callable[[bytes], bool] = lambda _: True, *, skip: int = 0) -> None:
        """Cut the connection instead of passing on the message after `skip` others that `at` is true of."""
        with self._lock:
            self._cut_at = (side, at, skip)
            self.made_cut = False

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._end(self._listener)
        for one in self._sockets:
            self._end(one)
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream_port))
                self._sockets += [client, server]
                for source in (client, server):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(partial(self._pump, client, server, Side.TO_SERVER))
                self._start(partial(self._pump, server, client, Side.TO_CLIENT))

    def _pump(self, source: socket.socket, target: socket.socket, side: Side) -> None:
        framing = self._framing(side)
        with suppress(OSError):
            while data := source.recv(65_536):
                for frame in framing.feed(data):
                    if self._is_the_one(side, frame):
                        raise ConnectionAbortedError
                    target.sendall(frame)
        self._end(source)
        self._end(target)

    def _is_the_one(self, side: Side, frame: bytes) -> bool:
        with self._lock:
            if self._cut_at is None or self._cut_at[0] is not side or not self._cut_at[1](frame):
                return False
            _, at, skip = self._cut_at
            self._cut_at = (side, at, skip - 1) if skip else None
            self.made_cut = skip == 0
            return self.made_cut

    @staticmethod
    def _end(one: socket.socket) -> None:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
