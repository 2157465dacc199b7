"""A provider that says back whatever key it is shown, wherever a provider says anything at all."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from agentfield_rt.plane.server import listen

MODES = ("echo-refusal", "echo-close", "echo-error", "echo-events")
"""What it does is chosen by the model that is asked for."""

_MODE = re.compile("|".join(MODES))


def _key(headers: Any) -> str:
    return str(headers.get("authorization", headers.get("api-key", ""))).removeprefix("Bearer ")


def _mode(text: str) -> str:
    found = _MODE.search(text)
    return found.group() if found else ""


def _refusal(key: str, status: int = 401) -> JSONResponse:
    error = {"message": f"Incorrect API key provided: {key}", "type": key, "code": key, "param": key}
    return JSONResponse({"error": error}, status, headers={"X-Echo": key, "X-Request-Id": f"req_{key}"})


async def _calls(request: Request) -> Response:
    key, body = _key(request.headers), (await request.body()).decode(errors="replace")
    mode = _mode(body)
    if mode == "echo-refusal":
        return _refusal(key)
    sdp = f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns={key}\r\nt=0 0\r\na=ice-pwd:{key}\r\n"
    location = f"/v1/realtime/calls/rtc_{mode}_{key}"
    return Response(sdp, 201, {"Location": location, "X-Echo": key}, media_type="application/sdp")


async def _any_post(request: Request) -> Response:
    return JSONResponse({"id": _key(request.headers)})


async def _transcription(request: Request) -> Response:
    return JSONResponse({"text": f"your key is {_key(request.headers)}"})


async def _chat(request: Request) -> Response:
    key, mode = _key(request.headers), _mode((await request.body()).decode(errors="replace"))
    if mode == "echo-refusal":
        return _refusal(key)
    if mode == "echo-error":
        return _refusal(key, 400)
    return StreamingResponse(_chunks(key, breaks_off=mode == "echo-close"), media_type="text/event-stream")


async def _chunks(key: str, *, breaks_off: bool) -> AsyncIterator[bytes]:
    def event(chunk: dict[str, Any]) -> bytes:
        return f"data: {json.dumps({'id': key, 'model': key, **chunk})}\n\n".encode()

    def delta(**what: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": what, "finish_reason": None}]}

    yield f": {key}\n\n".encode()
    yield event(delta(audio={"id": key, "transcript": f"your key is {key} "}))
    for piece in range(0, 960 * 5, 960):
        yield event(delta(audio={"data": "AAAA" * 320, "expires_at": piece}))
    if breaks_off:
        yield event({"error": {"message": key, "code": key, "type": key}})
        return
    yield event(delta(content=f"and again {key}"))
    call = {"index": 0, "id": f"call_{key}", "function": {"name": key, "arguments": json.dumps({"key": key})}}
    yield event(delta(tool_calls=[call]))
    yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": {key: 1}})
    yield b"data: [DONE]\n\n"


async def _realtime(socket: WebSocket) -> None:
    key, mode = _key(socket.headers), _mode(str(socket.query_params))
    if mode == "echo-refusal":
        await socket.send_denial_response(_refusal(key))
        return
    await socket.accept(headers=[(b"x-echo", key.encode())])
    if mode == "echo-close":
        await socket.close(3000, f"invalid_request_error.{key}"[:120])
        return
    try:
        await _converse(socket, key, refuses=mode == "echo-error")
    except WebSocketDisconnect:
        pass


async def _converse(socket: WebSocket, key: str, *, refuses: bool) -> None:
    async def give(kind: str, **more: Any) -> None:
        await socket.send_text(json.dumps({"type": kind, "event_id": f"event_{key}", **more}))

    await give("session.created", session={"id": f"sess_{key}", "instructions": key, "object": key})
    while True:
        event = json.loads(await socket.receive_text())
        named = event.get("event_id")
        if event["type"] == "session.update":
            if refuses:
                error = {"type": key, "code": key, "message": f"no: {key}", "param": key, "event_id": named}
                await give("error", error=error)
            await give("session.updated", session={"id": f"sess_{key}", "instructions": key})
        elif event["type"] == "conversation.item.create":
            await give("conversation.item.added", item={**event["item"], "name": key})
            await give(f"echo.{key}")
            error = {"type": "invalid_request_error", "code": key, "message": key, "event_id": None}
            await give("error", error=error)
            await give("rate_limits.updated", rate_limits=[{"name": key, "limit": 1, "remaining": 0}])
        elif event["type"] == "response.create":
            await _answer(give, key, event.get("response", {}).get("metadata"))


async def _answer(give: Any, key: str, metadata: Any) -> None:
    response, item = f"resp_{key}", f"item_{key}"
    names = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
    await give("response.created", response={"id": response, "metadata": metadata})
    await give("output_audio_buffer.started", response_id=response)
    await give("response.output_audio_transcript.delta", delta=f"your key is {key}", **names)
    await give("response.output_audio.delta", delta="AAAA" * 1_280, **names)
    call = {"type": "function_call", "status": "completed", "call_id": key, "name": key, "arguments": key}
    await give("response.output_item.done", response_id=response, item={"id": item, **call})
    await give("input_audio_buffer.speech_stopped", item_id=f"item_user_{key}", audio_end_ms=1)
    await give(
        "conversation.item.input_audio_transcription.completed",
        item_id=f"item_user_{key}",
        transcript=f"my key is {key}",
    )
    usage = {"total_tokens": 1, "input_tokens": 1, "output_tokens": 0}
    done = {"id": response, "status": "completed", "metadata": metadata, "usage": usage}
    await give("response.done", response={**done, "status_details": {"error": {"code": key}}})
    await give("output_audio_buffer.stopped", response_id=response)


def _app() -> Starlette:
    async def models(request: Request) -> Response:
        return JSONResponse({"data": [{"id": _key(request.headers)}]}, headers={"X-Echo": "yes"})

    return Starlette(
        routes=[
            WebSocketRoute("/v1/realtime", _realtime),
            Route("/v1/realtime/calls", _calls, methods=["POST"]),
            Route("/v1/realtime/calls/{rest:path}", _any_post, methods=["POST"]),
            Route("/v1/chat/completions", _chat, methods=["POST"]),
            Route("/v1/audio/transcriptions", _transcription, methods=["POST"]),
            Route("/v1/{rest:path}", models),
        ]
    )


@contextmanager
def echoing_provider() -> Generator[str]:
    """Its address."""
    socket = listen("127.0.0.1", 0)
    config = uvicorn.Config(_app(), log_level="error", ws="websockets-sansio", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([socket])), name="echoing provider")
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(20)
        socket.close()
