"""The public names, one by one, and what importing them costs. A name that is not here may change any day."""

import importlib
import json
import subprocess
import sys

import pytest

PUBLIC = {
    "agentfield_rt": """
        Agent CloseReason ConnectionLost ExecutionFailed GateOverflow IllegalCommand ProviderError
        RealtimeError RealtimeSession RealtimeSessionController Reason RepairNeeded ReplayMismatch Run
        RunIncomplete SessionClosed Turn UnsupportedTransport UtteranceHandle UtteranceState
    """,
    "agentfield_rt.agent": """
        Agent ExecutionContext InvalidInput RealtimeSession Reasoner SessionDefinition UtteranceHandle
    """,
    "agentfield_rt.timeline": """
        Bar BarKind Lane Mark Reply Timeline read_timeline timeline_svg timeline_text
    """,
    "agentfield_journal": """
        ContentGone ContentStore Cursor Draft Envelope FORMAT_VERSION Finding Journal JournalConflict
        JournalCorrupt JournalError JournalFull JournalUnavailable Limits Opening Privacy QueuedContentStore
        Report Retention RunHead RunWriter StoreJournal UnknownVersion open_content open_journal verify
    """,
    "agentfield_adapters.openai": """
        local_webrtc_adapter local_websocket_adapter webrtc_adapter websocket_adapter
    """,
    "agentfield_adapters.scripted": """
        Answer Call Hold Interruption Method Outcome ScriptedAdapter echo silent
    """,
}
OF_EXTRAS = """
    aiortc av fastapi httpx hypothesis nats numpy playwright pocketsphinx psycopg rich soxr sse_starlette
    starlette typer uvicorn websockets yaml
"""


@pytest.mark.parametrize("module", PUBLIC)
def test_a_package_exports_what_is_promised_and_nothing_else(module: str) -> None:
    package = importlib.import_module(module)
    assert sorted(package.__all__) == sorted(PUBLIC[module].split())
    assert not [name for name in package.__all__ if name not in vars(package)]


def test_the_runtime_and_the_scripted_provider_import_without_any_extra() -> None:
    program = (
        "import sys, json, agentfield_rt, agentfield_journal, agentfield_adapters.scripted;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert not set(OF_EXTRAS.split()) & set(json.loads(done.stdout))
