"""The control plane without HTTP: its parts, opened in the order in which they need each other.

What is kept, the work that is done, the conversations that are had; closed the other way round.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from agentfield_journal import ContentStore, QueuedContentStore, StoreJournal
from agentfield_rt.agent import Agent
from agentfield_rt.config import Settings
from agentfield_rt.plane.calls.webrtc import WebRtcCalls
from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.channel.executions import ExecutionsEngine
from agentfield_rt.plane.channel.fleet import Fleet
from agentfield_rt.plane.channel.opening import open_fleet
from agentfield_rt.plane.data_directory import Kept, open_kept
from agentfield_rt.plane.egress import EgressPolicy, HttpClient
from agentfield_rt.plane.executions.agent_notes import AgentNotes
from agentfield_rt.plane.executions.asking import Asking
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.memory.memory import Memory
from agentfield_rt.plane.memory.opening import open_memory
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.nodes.in_process import in_process_node
from agentfield_rt.plane.nodes.opening import open_remote_nodes
from agentfield_rt.plane.nodes.registrations import Registrations
from agentfield_rt.plane.nodes.remote import RemoteNodes
from agentfield_rt.plane.operation.draining import Draining
from agentfield_rt.plane.operation.readiness import Check, checks_of
from agentfield_rt.plane.operation.telemetry import Telemetry
from agentfield_rt.plane.providers import Providers
from agentfield_rt.plane.sessions import Sessions
from agentfield_rt.plane.telephony.phone import Phones
from agentfield_rt.plane.webhooks import Webhooks
from agentfield_rt.plane.webhooks.opening import open_webhooks
from agentfield_rt.plane.workflows.chronicle import Chronicle, Sources, make_chronicle


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """An open control plane.

    Attributes:
        checks: What has to be well for it to take work (`operation.readiness`).
    """

    settings: Settings
    journal: StoreJournal
    content: ContentStore
    catalogue: Catalogue
    chronicle: Chronicle
    memory: Memory
    nodes: Nodes
    remote_nodes: RemoteNodes
    fleet: Fleet
    egress: HttpClient
    executions: Executions
    asking: Asking
    webhooks: Webhooks
    sessions: Sessions
    providers: Providers
    phones: Phones
    webrtc_calls: WebRtcCalls
    telemetry: Telemetry
    draining: Draining
    checks: Mapping[str, Check]


async def _open_memory(
    agents: Sequence[Agent], stack: AsyncExitStack, content: QueuedContentStore, *, settings: Settings
) -> Memory:
    """The memory, which the agents of this process have without a server in between."""
    opened = open_memory(settings.memory_url, data=settings.data, content=content)
    memory = await stack.enter_async_context(opened)
    for agent in agents:
        await stack.enter_async_context(agent.memory.connection.connected(memory))
    return memory


def _open_lines(
    sessions: Sessions, providers: Providers, *, stack: AsyncExitStack
) -> tuple[Phones, WebRtcCalls]:
    """The ways on which callers come whose calls end here or ring at a provider."""
    webrtc_calls = WebRtcCalls(providers.settings)
    stack.push_async_callback(webrtc_calls.close)
    phones = Phones(sessions, providers, providers.settings.phone_targets)
    stack.push_async_callback(phones.close)
    return phones, webrtc_calls


async def _host(
    agents: Sequence[Agent], executions: Executions, notes: AgentNotes, *, providers: Providers
) -> None:
    """Have the agents of this process reach the plane, and start the provider that they will need."""
    for agent in agents:
        agent.bind(executions, noter=notes)
    if any(definition.provider == "local" for agent in agents for definition in agent.sessions.values()):
        await providers.start_local()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """Who does work, and what becomes of it."""

    nodes: Nodes
    remote_nodes: RemoteNodes
    egress: HttpClient
    executions: Executions
    asking: Asking
    webhooks: Webhooks
    chronicle: Chronicle
    notes: AgentNotes
    fleet: Fleet


async def _open_work(
    agents: Sequence[Agent], kept: Kept, stack: AsyncExitStack, *, settings: Settings
) -> _Work:
    """Executions, the nodes in this process and elsewhere that run them, and whoever is told of them."""
    nodes = Nodes(map(in_process_node, agents))
    egress = HttpClient(EgressPolicy(settings.agent_hosts))
    stack.callback(egress.close)
    executions = Executions(kept.runs, nodes, kept.content, rows=kept.catalogue, within=kept.telemetry.within)
    stack.push_async_callback(executions.close)
    asking = Asking(executions, nodes, kept.content, now=kept.runs.now)
    stack.push_async_callback(asking.close)
    registrations = Registrations(kept.runs, kept.content, kept.catalogue)
    orphaned = executions.fail_orphans
    remote = open_remote_nodes(nodes, registrations, client=egress, settings=settings, restarted=orphaned)
    remote_nodes = await stack.enter_async_context(remote)
    webhooks = await stack.enter_async_context(
        open_webhooks(kept.runs, executions, content=kept.content, client=egress, catalogue=kept.catalogue)
    )
    chronicle = make_chronicle(
        Sources(
            journal=kept.journal,
            content=kept.content,
            catalogue=kept.catalogue,
            runs=kept.runs,
            executions=executions,
            nodes=nodes,
        )
    )
    notes = AgentNotes(chronicle.reports)
    stack.push_async_callback(notes.close)
    engine = ExecutionsEngine(executions, chronicle.reports)
    fleet = await stack.enter_async_context(open_fleet(nodes, remote_nodes, engine, settings=settings))
    return _Work(
        nodes=nodes,
        remote_nodes=remote_nodes,
        egress=egress,
        executions=executions,
        asking=asking,
        webhooks=webhooks,
        chronicle=chronicle,
        notes=notes,
        fleet=fleet,
    )


@asynccontextmanager
async def open_control_plane(
    agents: Sequence[Agent] = (), *, settings: Settings | None = None
) -> AsyncGenerator[ControlPlane, None]:
    """A control plane that hosts `agents`; at the end it hangs up, cancels and records all of it.

    Raises:
        DataDirectoryInUse: another process has the journal open.
        DataDirectoryUnusable: nothing can be written there, or the key of the content is lost.
    """
    settings = settings or Settings()
    async with AsyncExitStack() as stack:
        kept = await open_kept(settings, stack)
        memory = await _open_memory(agents, stack, kept.content, settings=settings)
        providers = Providers(settings)
        stack.push_async_callback(providers.close)
        work = await _open_work(agents, kept, stack, settings=settings)
        sessions = Sessions(
            kept.runs, work.nodes, executions=work.executions, content=kept.content, providers=providers
        )
        phones, webrtc_calls = _open_lines(sessions, providers, stack=stack)
        stack.push_async_callback(sessions.close)
        await _host(agents, work.executions, work.notes, providers=providers)
        await work.executions.recover(kept.going_on)
        work.fleet.count_lease()
        work.asking.recover()
        draining = Draining(sessions, work.executions)
        kept.telemetry.watch(work.executions, draining)
        yield ControlPlane(
            settings=settings,
            journal=kept.journal,
            content=kept.content,
            catalogue=kept.catalogue,
            telemetry=kept.telemetry,
            memory=memory,
            nodes=work.nodes,
            remote_nodes=work.remote_nodes,
            fleet=work.fleet,
            egress=work.egress,
            executions=work.executions,
            asking=work.asking,
            webhooks=work.webhooks,
            chronicle=work.chronicle,
            providers=providers,
            sessions=sessions,
            phones=phones,
            webrtc_calls=webrtc_calls,
            draining=draining,
            checks=checks_of(kept.journal, kept.content, providers=providers, draining=draining),
        )
