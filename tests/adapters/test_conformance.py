"""Every adapter we ship meets the port, and the check notices one that does not."""

from collections.abc import Callable

import pytest

from agentfield_adapters.conformance import check_adapter
from agentfield_adapters.openai import local_webrtc_adapter, local_websocket_adapter
from agentfield_adapters.scripted import ScriptedAdapter
from agentfield_rt.frames import InputFrame, SpeechFrame
from agentfield_rt.ports import Connection, ConnectRequest, ProviderAdapter, ProviderSettings, SessionConfig
from tests.adapters.caller import SilentCaller

REQUEST = ConnectRequest(session_id="s1", config=SessionConfig())


async def plain_request() -> ConnectRequest:
    return REQUEST


@pytest.mark.asyncio
async def test_the_scripted_adapter_conforms() -> None:
    await check_adapter(ScriptedAdapter, plain_request)


@pytest.mark.asyncio
async def test_the_websocket_adapter_conforms(local_provider_url: str) -> None:
    settings = ProviderSettings(base_url=local_provider_url)
    await check_adapter(lambda: local_websocket_adapter(settings), plain_request)


@pytest.mark.asyncio
async def test_the_webrtc_adapter_conforms(local_provider_url: str) -> None:
    settings = ProviderSettings(base_url=local_provider_url)
    callers: list[SilentCaller] = []

    async def request_with_offer() -> ConnectRequest:
        callers.append(SilentCaller())
        return ConnectRequest(session_id="s1", config=SessionConfig(), offer_sdp=await callers[-1].offer())

    class Answering:
        """The webrtc adapter with the browser's part: the answer reaches the caller who offered."""

        def __init__(self) -> None:
            self._adapter = local_webrtc_adapter(settings)
            self.send, self.receive = self._adapter.send, self._adapter.receive
            self.interrupt, self.close = self._adapter.interrupt, self._adapter.close

        async def connect(self, request: ConnectRequest) -> Connection:
            return await self._answered(await self._adapter.connect(request))

        async def restart(self, request: ConnectRequest) -> Connection:
            return await self._answered(await self._adapter.restart(request))

        async def _answered(self, connection: Connection) -> Connection:
            await callers[-1].accept(connection.answer_sdp or "")
            return connection

    await check_adapter(Answering, request_with_offer)
    for caller in callers:
        await caller.hang_up()


class KeepsItsId(ScriptedAdapter):
    async def connect(self, request: ConnectRequest) -> Connection:
        self.first = await super().connect(request)
        return self.first

    async def restart(self, request: ConnectRequest) -> Connection:
        await super().restart(request)
        return self.first


class ForgetsTheUtterance(ScriptedAdapter):
    async def send(self, frame: InputFrame) -> None:
        if isinstance(frame, SpeechFrame):
            frame = SpeechFrame(frame.frame_id, "another", frame.text)
        await super().send(frame)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make_adapter", "complaint"), [(KeepsItsId, "old id"), (ForgetsTheUtterance, "name its utterance")]
)
async def test_an_adapter_that_breaks_the_contract_is_told_how(
    make_adapter: Callable[[], ProviderAdapter], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        await check_adapter(make_adapter, plain_request)
