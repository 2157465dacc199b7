"""The example agent, from wherever this installation keeps it."""

from dataclasses import replace
from pathlib import Path

import agentfield_rt
from agentfield_rt import Agent
from agentfield_rt.cli.apps import load_agent
from agentfield_rt.registry import validate_pair
from agentfield_rt.turn_detection import PUSH_TO_TALK, validate_turn_detection

FILE = "voice_support.py"


def example_file() -> Path:
    """A wheel brings the file beside this module; a checkout has it in examples/."""
    packaged = Path(__file__).with_name(FILE)
    return packaged if packaged.exists() else Path(agentfield_rt.__file__).parents[1] / "examples" / FILE


def order_desk(provider: str) -> Agent:
    """The example agent, its sessions moved to `provider`.

    Raises:
        UnsupportedTransport: the provider does not have a transport that the example asks for.
    """
    agent = load_agent(str(example_file()))
    for name, session in agent.sessions.items():
        _, transport = validate_pair(provider, session.transport)
        detection = validate_turn_detection(
            session.config.turn_detection or {"type": PUSH_TO_TALK}, provider=provider, transport=transport
        )
        config = replace(session.config, turn_detection=detection)
        agent.sessions[name] = replace(session, provider=provider, config=config)
    return agent
