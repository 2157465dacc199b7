"""The public surface, name by name, and the way imports point. A name leaves only with a release."""

import importlib
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

EXPORTS = {
    "agentfield_rt": [
        "Agent",
        "AgentRouter",
        "CloseReason",
        "ConnectionLost",
        "ExecutionFailed",
        "GateOverflow",
        "GatherEnd",
        "GatheredDigits",
        "IllegalCommand",
        "ProviderError",
        "RealtimeError",
        "RealtimeRuntime",
        "RealtimeSession",
        "RealtimeSessionController",
        "Reason",
        "RepairNeeded",
        "ReplayMismatch",
        "Run",
        "RunIncomplete",
        "SessionClosed",
        "TooManyTurns",
        "Turn",
        "UnsupportedTransport",
        "UtteranceHandle",
        "UtteranceState",
    ],
    "agentfield_rt.agent": [
        "Agent",
        "AgentRouter",
        "ExecutionContext",
        "GatherEnd",
        "GatheredDigits",
        "InvalidInput",
        "RealtimeSession",
        "Reasoner",
        "SessionDefinition",
        "UtteranceHandle",
    ],
    "agentfield_rt.rules": [
        "Abort",
        "AbortAndRetry",
        "Channel",
        "Drop",
        "Emit",
        "Finding",
        "Inject",
        "Literal",
        "Marker",
        "Mask",
        "Message",
        "Passed",
        "PauseForApproval",
        "Refusal",
        "RefusedRule",
        "Regex",
        "Repeat",
        "RepeatKey",
        "RepeatKeys",
        "Rule",
        "RuleSet",
        "RuleStream",
        "RulesState",
        "Scope",
        "StreamSnapshot",
        "StreamStatus",
        "compile_rules",
        "rules_state",
    ],
    "agentfield_rt.memory": [
        "Change",
        "Entry",
        "Interest",
        "Match",
        "MemoryAccessError",
        "MemoryFull",
        "MemoryPort",
        "MemoryRefused",
        "Scope",
        "Section",
        "TooSlow",
        "Where",
        "as_json",
        "matches",
    ],
    "agentfield_rt.approvals": [
        "Approval",
        "ApprovalDecision",
        "ApprovalRule",
        "ApprovalStatus",
        "ApprovalSubject",
        "Approvals",
        "Approver",
        "Decider",
        "DecisionRefused",
        "Question",
        "UnknownApproval",
    ],
    "agentfield_rt.deliveries": [
        "CallableSink",
        "Decision",
        "Deliveries",
        "DeliveryKind",
        "DeliveryOutcome",
        "DeliveryStatus",
        "Destination",
        "Output",
        "Parcel",
        "Sink",
        "SinkError",
    ],
    "agentfield_journal": [
        "FORMAT_VERSION",
        "BatchTooLarge",
        "ContentGone",
        "ContentStore",
        "Cursor",
        "Draft",
        "Envelope",
        "Finding",
        "Journal",
        "JournalConflict",
        "JournalCorrupt",
        "JournalError",
        "JournalFull",
        "JournalUnavailable",
        "LeaseTerms",
        "Limits",
        "Opening",
        "Privacy",
        "QueuedContentStore",
        "Report",
        "Retention",
        "RunHead",
        "RunLeased",
        "RunWriter",
        "StoreJournal",
        "UnknownVersion",
        "open_content",
        "open_journal",
        "verify",
    ],
    "agentfield_adapters.webhook": ["WebhookSink"],
    "agentfield_rt.audit": ["Auditor", "Code", "Finding", "Report", "audit", "audit_journal"],
    "agentfield_rt.testing": [
        "Acts",
        "Call",
        "Crashed",
        "Desk",
        "EffectRepeated",
        "Effects",
        "Ending",
        "FaultJournal",
        "FaultWriter",
        "HeldAdapter",
        "Hold",
        "JournalFaults",
        "Line",
        "Listener",
        "MemoryProvider",
        "NothingCanHappen",
        "OutsideWorld",
        "RuleBroken",
        "Scene",
        "TimeIsUp",
        "VirtualTimeLoop",
        "echo",
        "in_virtual_time",
        "plays_at_the_provider",
        "run",
        "silent",
        "speaks",
        "time_passes",
    ],
    "agentfield_adapters.scripted": [
        "Answer",
        "Call",
        "Hold",
        "Interruption",
        "Method",
        "Outcome",
        "ScriptedAdapter",
        "echo",
        "silent",
    ],
    "agentfield_adapters.openai": [
        "local_webrtc_adapter",
        "local_websocket_adapter",
        "webrtc_adapter",
        "websocket_adapter",
    ],
}


@pytest.mark.parametrize("package", EXPORTS)
def test_a_package_exports_exactly_what_is_listed_here(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(EXPORTS[package])
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("package", EXPORTS)
def test_every_exported_name_is_there_and_explains_itself(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__doc__
    for name in EXPORTS[package]:
        exported = getattr(module, name)
        if isinstance(exported, type):
            assert exported.__doc__, f"{package}.{name} has no docstring"


def test_importing_the_runtime_loads_no_web_framework_and_no_codec() -> None:
    heavy = {
        "fastapi",
        "uvicorn",
        "starlette",
        "aiortc",
        "numpy",
        "typer",
        "rich",
        "hypothesis",
        "websockets",
    }
    code = f"import agentfield_rt, sys; print(sorted({heavy!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


def test_imports_point_one_way() -> None:
    """The contracts stand in `pyproject.toml`."""
    command = [str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-cache"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
