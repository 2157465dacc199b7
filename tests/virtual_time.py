"""Virtual time for tests; it lives in the package."""

from agentfield_rt.testing.virtual_time import VirtualTimeLoop, in_virtual_time, time_passes

__all__ = ["VirtualTimeLoop", "in_virtual_time", "time_passes"]
