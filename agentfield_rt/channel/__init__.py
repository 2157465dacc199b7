"""The channel between a plane and an agent elsewhere: its messages, and their delivery over wires that break.

Knows no socket, no plane and no agent. `docs/reference/channel.md` describes it for other languages.
"""
