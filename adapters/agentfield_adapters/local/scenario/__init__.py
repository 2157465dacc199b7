"""Conversations as files: what the provider understands, says, and breaks."""
