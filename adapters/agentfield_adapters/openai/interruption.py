"""How a response is stopped, over a websocket and on a call. Knows no buffers and not the adapter's life."""

from collections.abc import Iterable

from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai.acknowledgements import cut, done, silent
from agentfield_adapters.openai.connection import LiveConnection
from agentfield_adapters.openai.responses import Response

CONFIRM_S = 2.0
"""How long the provider may take to confirm each step."""


async def stop_at_socket(live: LiveConnection, response: Response, heard_ms: int | None) -> None:
    """The caller plays: stop generating, then cut the items to what was heard (None: leave them).

    The cut waits for the end of the response, because only then is it known how much audio there is: some
    was on its way when the cancel was sent.
    """
    if response.generating:
        cancel = client.ResponseCancel(
            event_id=live.conversation.event_id(), response_id=response.response_id
        )
        await live.ask(cancel, done(response.response_id), within_s=CONFIRM_S)
    for item_id, keep_ms, content_index in response.audio.cuts(heard_ms) if heard_ms is not None else ():
        event_id = live.conversation.event_id()
        forget: client.ClientEvent
        if content_index is None:
            forget = client.ItemDelete(event_id=event_id, item_id=item_id)
        else:
            forget = client.ItemTruncate(
                event_id=event_id, item_id=item_id, content_index=content_index, audio_end_ms=keep_ms
            )
        await live.ask(forget, cut(item_id), within_s=CONFIRM_S)


async def silence_call(live: LiveConnection, over: Iterable[str]) -> None:
    """A call that was joined again falls silent: of what it was saying some events are missed for ever.

    Whoever wanted it said asks anew for what the caller has not heard. That nothing was being said any more
    is what the provider answers most of the time.

    Args:
        over: The responses that may be running.
    """
    cancel = client.ResponseCancel(event_id=live.conversation.event_id())
    with live.expect(cancel, *map(done, over)) as ended:
        await live.send(cancel)
        await live.send(client.OutputAudioClear(event_id=live.conversation.event_id()))
        await live.answer(ended, within_s=CONFIRM_S)


async def stop_at_call(live: LiveConnection, response: Response) -> None:
    """The provider plays: stop generating and playing; it cuts the conversation by itself.

    Both events go out together: once the response has ended the next one may start, and the second event,
    which names no response, would silence that.
    """
    was_playing = response.playing
    is_over = not response.generating
    if is_over and not was_playing:
        return
    response_id = response.response_id
    cancel = client.ResponseCancel(event_id=live.conversation.event_id(), response_id=response_id)
    clear = client.OutputAudioClear(event_id=live.conversation.event_id())
    with live.expect(cancel, done(response_id)) as ended, live.expect(clear, silent(response_id)) as quiet:
        if not is_over:
            await live.send(cancel)
        await live.send(clear)
        if not is_over:
            await live.answer(ended, within_s=CONFIRM_S)
        if was_playing:
            await live.answer(quiet, within_s=CONFIRM_S)
