"""The agents this plane knows, and what they can do."""

from collections.abc import Iterator, Sequence

from agentfield_rt.agent import Agent, Reasoner, SessionDefinition
from agentfield_rt.plane.errors import BadRequest, NotFound


class Nodes:
    """Agents by their node id."""

    def __init__(self, agents: Sequence[Agent] = ()) -> None:
        self._agents: dict[str, Agent] = {}
        for agent in agents:
            self.add(agent)

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents.values())

    def add(self, agent: Agent) -> None:
        """Let an agent in.

        Raises:
            ValueError: another agent has this node id.
        """
        if agent.node_id in self._agents:
            raise ValueError(f"two agents are named {agent.node_id!r}; node ids are unique")
        self._agents[agent.node_id] = agent

    def reasoner(self, target: str) -> tuple[Agent, Reasoner]:
        """Who runs `node.reasoner`.

        Raises:
            BadRequest, NotFound: with AgentField's texts.
        """
        node, dot, name = target.partition(".")
        if not (node and dot and name):
            raise BadRequest("target must be in format 'node_id.reasoner_name'")
        agent = self._agents.get(node)
        if agent is None:
            raise NotFound(f"agent '{node}' not found")
        reasoner = agent.reasoners.get(name)
        if reasoner is None:
            raise NotFound(f"target '{name}' not found on agent '{node}'")
        return agent, reasoner

    def session(self, target: str) -> tuple[Agent, SessionDefinition]:
        """Who takes calls for `node.session`.

        Raises:
            BadRequest, NotFound: with AgentField's texts.
        """
        node, dot, name = target.partition(".")
        if not (node and dot and name):
            raise BadRequest("session target must be <node>.<session>")
        agent = self._agents.get(node)
        if agent is None:
            raise NotFound("agent not found")
        if not agent.sessions:
            raise NotFound("agent has no registered sessions")
        definition = agent.sessions.get(name)
        if definition is None:
            raise NotFound("session not registered")
        return agent, definition
