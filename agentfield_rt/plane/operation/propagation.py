"""How what goes on here is known to whoever is asked to go on with it, in another process."""

try:
    from opentelemetry import propagate
except ModuleNotFoundError:
    propagate = None  # type: ignore[assignment]


def trace_headers() -> dict[str, str]:
    """The headers (`traceparent`, or what `OTEL_PROPAGATORS` says) for a request of ours; often none."""
    headers: dict[str, str] = {}
    if propagate is not None:
        propagate.inject(headers)
    return headers
