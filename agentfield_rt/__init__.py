"""Event-sourced runtime for realtime voice sessions."""

__version__ = "0.1.0"
