"""Opens the realtime websocket. The limits of the transport are set here, once."""

import logging

import websockets
from websockets.asyncio.client import ClientConnection

from agentfield_adapters.openai.endpoint import Endpoint, tls_context
from agentfield_adapters.openai.failures import refused
from agentfield_rt.errors import ProviderError, Reason

FRAME_BYTES_MAX = 16 * 1024 * 1024
WRITE_BYTES_MAX = 32 * 1024
"""What may wait to be written before whoever sends more waits too."""
OPEN_S = 10.0
CLOSE_S = 1.0
# A peer that has gone silent is noticed after at most the sum of the two.
PING_EVERY_S = 5.0
PONG_WITHIN_S = 5.0

# At DEBUG this library logs frames and headers, that is speech and keys: never, whatever the host sets.
_logger = logging.getLogger(f"{__name__}.websockets")
_logger.setLevel(logging.WARNING)


async def open_socket(endpoint: Endpoint, **query: str) -> ClientConnection:
    """Open the websocket for a new session (`model=`) or for an existing call (`call_id=`).

    Raises:
        ProviderError: the provider refused or could not be reached; it holds no connection.
    """
    try:
        return await websockets.connect(
            endpoint.socket_url(**query),
            additional_headers=endpoint.headers,
            compression=None,
            max_size=FRAME_BYTES_MAX,
            write_limit=WRITE_BYTES_MAX,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PONG_WITHIN_S,
            proxy=True if endpoint.through_proxy else None,
            ssl=tls_context() if endpoint.is_secure else None,
            logger=_logger,
        )
    except websockets.InvalidStatus as answer:
        raise refused(answer.response.status_code, doing="opening the session") from None
    except TimeoutError:
        raise ProviderError(
            f"the provider did not answer within {OPEN_S:.0f} s", reason=Reason.TIMEOUT, retryable=True
        ) from None
    except OSError as error:
        raise _unreachable(endpoint, error) from None
    except websockets.InvalidHandshake as error:
        if isinstance(error.__cause__, EOFError | ConnectionError):  # it hung up before it answered
            raise _unreachable(endpoint, error.__cause__) from None
        raise ProviderError(
            f"what answers at {endpoint.base_url} is no realtime provider ({type(error).__name__})",
            reason=Reason.PROTOCOL,
        ) from None


def _unreachable(endpoint: Endpoint, error: BaseException) -> ProviderError:
    return ProviderError(
        f"the provider cannot be reached at {endpoint.base_url} ({type(error).__name__})",
        reason=Reason.UNAVAILABLE,
        retryable=True,
    )
