"""Encoders for recordings of calls; found by the entry points of `agentfield_rt.recorders`."""

from agentfield_adapters.media.recording.ogg_opus import OggOpusEncoder

__all__ = ["OggOpusEncoder"]
