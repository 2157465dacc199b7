"""Random bytes of the operating system, drawn a page at a time.

Each system call lets other threads have the interpreter, which costs a busy event loop more than the bytes.
"""

import base64
import os
import threading

_PAGE_BYTES = 4_096


class _Drawn:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Draw anew: a process that was forked must not give out what its parent does."""
        self._page = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        with self._lock:
            if self._at + size > len(self._page):
                self._page, self._at = os.urandom(max(size, _PAGE_BYTES)), 0
            taken = self._page[self._at : self._at + size]
            self._at += size
            return taken


_DRAWN = _Drawn()
os.register_at_fork(after_in_child=_DRAWN.forget)


def drawn_bytes(size: int) -> bytes:
    """`size` random bytes; as `secrets.token_bytes`."""
    return _DRAWN.take(size)


def drawn_hex(size: int) -> str:
    """`size` random bytes, in hex; as `secrets.token_hex`."""
    return _DRAWN.take(size).hex()


def drawn_urlsafe(size: int) -> str:
    """`size` random bytes in base64 that needs no quoting; as `secrets.token_urlsafe`."""
    return base64.urlsafe_b64encode(_DRAWN.take(size)).rstrip(b"=").decode()
