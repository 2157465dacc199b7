"""Writes reference/settings.md and reference/metrics.md from the code that they are about."""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from agentfield_rt.config import Settings, variable_of
from agentfield_rt.plane.operation.instruments import INSTRUMENTS, VALUES_MAX

REFERENCE = Path(__file__).parent / "reference"

_SETTINGS = """# Settings

Generated from `agentfield_rt/config/` by `docs/generate_operation.py`.

A setting comes from the first of these that has it: code (`Settings(port=0)`) or an option of `af`; the
environment; a file of secrets; the configuration file; its default. `af settings` shows each with where it
is from, and no secret. A name that no setting has is an error, which says what may have been meant.

The configuration file is TOML, with the names in the first column; `AGENTFIELD_RT_CONFIG` or `af serve
--config` names it:

```toml
data = "/var/lib/agentfield-rt"
hosts = ["voice.internal", "localhost"]
log_format = "json"

[phone_targets]
"*" = "shop.phone"
```

Files of secrets are those in the directory `AGENTFIELD_RT_SECRETS`, named as the variable in small letters
(`openai_api_key`, `agentfield_rt_turn_secret`), which is what systemd's `LoadCredential=` and containers
make. Lists and tables are JSON in the environment and in files of secrets.

"""

_METRICS = """# Metrics

Generated from `agentfield_rt/plane/operation/instruments.py` by `docs/generate_operation.py`.

`GET /metrics` has them for Prometheus (its text format, or OpenMetrics for whoever asks for that), with
what the Python client tells of the process (`process_…`, `python_info`). With `OTEL_EXPORTER_OTLP_ENDPOINT`
set they are sent under OpenTelemetry's names as well. How to watch a server is told in
[](../how-to/watch-a-server.md).

No attribute has more than {values} values: those of open vocabularies (targets, models, routes) are `other`
from then on. None has an id, an address that was asked for, or anything that was said. `gen_ai.…` and
`http.…` follow OpenTelemetry's semantic conventions, which are still being developed for generative AI:
their names may change with them.

"""


def settings_page() -> str:
    """The whole page of settings."""
    rows = (
        (
            f"`{name}`",
            f"`{variable_of(name, field)}`",
            _default(field),
            " ".join((field.description or "").split()),
        )
        for name, field in sorted(Settings.model_fields.items())
    )
    return _SETTINGS + _table(("setting", "variable", "default", ""), rows)


def metrics_page() -> str:
    """The whole page of metrics."""
    rows = (
        (
            f"`{each.exposed_as}`",
            f"`{each.name}`",
            f"{each.kind}, `{each.unit}`",
            ", ".join(f"`{label}`" for label in each.labels),
            each.description,
        )
        for each in INSTRUMENTS
    )
    head = ("at `/metrics`", "OpenTelemetry", "kind, unit", "attributes", "")
    return _METRICS.format(values=VALUES_MAX) + _table(head, rows)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ((), {}, "") or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in cast(tuple[object, ...], value))
    return f"`{value}`"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = list(head)
    lines = ["| " + " | ".join(cells) + " |", "| --- " * len(cells) + "|"]
    return "\n".join(
        [*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows), ""]
    )


PAGES = {REFERENCE / "settings.md": settings_page, REFERENCE / "metrics.md": metrics_page}

if __name__ == "__main__":
    for path, page in PAGES.items():
        path.write_text(page())
