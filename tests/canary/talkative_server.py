"""A server that logs all it can and dumps all it has: `python -m tests.canary.talkative_server DATA`."""

import asyncio
import faulthandler
import logging
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.plane.server import serve_async

PAIRS = (
    ("openai", "websocket"),
    ("openai", "webrtc"),
    ("openrouter", "audio_turns"),
    ("local", "websocket"),
    ("local", "webrtc"),
    ("local", "audio_turns"),
)


def canary() -> Agent:
    """A session for every pair of provider and transport."""
    app = Agent("canary")

    @app.reasoner()
    async def look_up(key: str = "") -> str:
        return "found"

    async def speaks_once(session: RealtimeSession) -> None:
        async for _ in session.turns():
            await session.say("Something to say.")
            await session.close()

    for provider, transport in PAIRS:
        name = f"{provider}_{transport}"
        app.session(name, provider=provider, transport=transport, tools=["look_up"])(speaks_once)
    return app


def dump(settings: Settings, app: Any) -> None:
    """What a crash reporter would send: every stack, with what every frame has in hand."""
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    for task in asyncio.all_tasks():
        for frame in task.get_stack():
            summary = traceback.StackSummary.extract([(frame, frame.f_lineno)], capture_locals=True)
            sys.stderr.write("".join(summary.format()))
    shown = (settings, repr(settings), settings.model_dump(), settings.model_dump_json(), repr(app))
    sys.stderr.write("\n".join(map(str, shown)) + "\n")
    sys.stderr.flush()


class _EverythingShown(logging.Formatter):
    """Shows the locals of every frame of an error."""

    def formatException(self, ei: Any) -> str:
        return "".join(traceback.TracebackException(*ei, capture_locals=True).format())


async def main(data: str) -> None:
    settings = Settings(port=0, data=Path(data))
    app = canary()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, dump, settings, app)
    await serve_async([app], settings, on_ready=lambda url: print(url, flush=True))  # noqa: T201


if __name__ == "__main__":
    handler = logging.StreamHandler()
    handler.setFormatter(_EverythingShown("%(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    faulthandler.enable()
    asyncio.run(main(sys.argv[1]))
