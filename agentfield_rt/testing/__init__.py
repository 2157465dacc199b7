"""For whoever tests an adapter, a journal or a service on this runtime: virtual time, held answers, faults.

What needs Hypothesis is in modules of its own: `machine` for adapters, `handler_machine` for handlers,
`strategies`. pytest fixtures come with `agentfield_rt.pytest_plugin`. The conformance
kits live where their subjects do: `agentfield_adapters.conformance` and `agentfield_journal.testing`.
"""

from agentfield_rt.testing.fault_journal import Crashed, FaultJournal, FaultWriter, JournalFaults
from agentfield_rt.testing.held_adapter import HeldAdapter
from agentfield_rt.testing.held_calls import Acts, Call, EffectRepeated, Effects, Ending, Hold
from agentfield_rt.testing.memory_provider import MemoryProvider, echo, silent
from agentfield_rt.testing.scene import Desk, Listener, Scene, plays_at_the_provider, speaks
from agentfield_rt.testing.session_rig import Line, RuleBroken
from agentfield_rt.testing.virtual_time import (
    NothingCanHappen,
    OutsideWorld,
    TimeIsUp,
    VirtualTimeLoop,
    in_virtual_time,
    run,
    time_passes,
)

__all__ = [
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
]
