"""Callers whose sound comes to this plane: over websockets and WebRTC, and what is kept of it."""
