"""The control plane without HTTP: journal, content, agents, executions and sessions, opened as one."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agentfield_journal import (
    ContentStore,
    JournalConflict,
    QueuedContentStore,
    StoreJournal,
    open_content,
    open_journal,
)
from agentfield_rt.agent import Agent
from agentfield_rt.config import Settings
from agentfield_rt.plane.calls.webrtc import WebRtcCalls
from agentfield_rt.plane.catalogue.catalogue import Catalogue, open_catalogue
from agentfield_rt.plane.channel.executions import ExecutionsEngine
from agentfield_rt.plane.channel.fleet import Fleet
from agentfield_rt.plane.channel.opening import open_fleet
from agentfield_rt.plane.egress import EgressPolicy, HttpClient
from agentfield_rt.plane.errors import DataDirectoryInUse, DataDirectoryUnusable
from agentfield_rt.plane.executions.agent_notes import AgentNotes
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
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.sessions import Sessions
from agentfield_rt.plane.telephony.phone import Phones
from agentfield_rt.plane.upkeep.content_expiry import expire_content
from agentfield_rt.plane.upkeep.evidence import keep_evidence
from agentfield_rt.plane.upkeep.left_erasures import finish_left_erasures
from agentfield_rt.plane.upkeep.left_runs import end_left_runs
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
    webhooks: Webhooks
    sessions: Sessions
    providers: Providers
    phones: Phones
    webrtc_calls: WebRtcCalls
    telemetry: Telemetry
    draining: Draining
    checks: Mapping[str, Check]


def journal_path(data: Path) -> Path:
    """Where the journal of a data directory is."""
    return data / "journal.db"


async def _open_data(data: Path, stack: AsyncExitStack) -> tuple[StoreJournal, QueuedContentStore]:
    """The journal first: whoever has its lock has the whole directory."""
    try:
        await asyncio.to_thread(data.mkdir, parents=True, exist_ok=True)
        try:
            journal = await stack.enter_async_context(open_journal(f"sqlite:///{journal_path(data)}"))
        except JournalConflict as error:
            raise DataDirectoryInUse(
                f"{data} is in use by another server ({error}); stop it or choose another --data"
            ) from error
        content = await stack.enter_async_context(open_content(f"sqlite:///{data / 'content.db'}"))
    except OSError as error:
        raise DataDirectoryUnusable(
            f"{data} cannot be used as a data directory ({error.strerror}); choose another with --data"
        ) from error
    except JournalConflict as error:
        raise DataDirectoryUnusable(f"{data} cannot be used as a data directory: {error}") from error
    return journal, content


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What outlives the process, opened.

    Attributes:
        going_on: Runs of an earlier process that this one goes on with.
    """

    journal: StoreJournal
    content: QueuedContentStore
    catalogue: Catalogue
    runs: Runs
    telemetry: Telemetry
    going_on: list[str]


async def _open_kept(settings: Settings, stack: AsyncExitStack) -> _Kept:
    """Open it, end what an earlier process left, and see to it that it is proved and expires."""
    journal, content = await _open_data(settings.data, stack)
    catalogue = await stack.enter_async_context(open_catalogue(settings.data / "catalogue.db", journal))
    going_on = await end_left_runs(journal, [run.run_id for run in await catalogue.open_runs()])
    await finish_left_erasures(journal, content)
    telemetry = Telemetry(settings)
    stack.callback(telemetry.close)
    runs = Runs(journal, observe=telemetry.observe)
    await stack.enter_async_context(keep_evidence(journal, runs, settings))
    await stack.enter_async_context(expire_content(content, settings))
    return _Kept(
        journal=journal,
        content=content,
        catalogue=catalogue,
        runs=runs,
        telemetry=telemetry,
        going_on=going_on,
    )


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
        kept = await _open_kept(settings, stack)
        journal, content, catalogue, runs = kept.journal, kept.content, kept.catalogue, kept.runs
        nodes = Nodes(map(in_process_node, agents))
        memory = await _open_memory(agents, stack, content, settings=settings)
        egress = HttpClient(EgressPolicy(settings.agent_hosts))
        stack.callback(egress.close)
        providers = Providers(settings)
        stack.push_async_callback(providers.close)
        executions = Executions(runs, nodes, content, rows=catalogue)
        stack.push_async_callback(executions.close)
        registrations = Registrations(runs, content, catalogue)
        orphaned = executions.fail_orphans
        remote = open_remote_nodes(nodes, registrations, client=egress, settings=settings, restarted=orphaned)
        remote_nodes = await stack.enter_async_context(remote)
        webhooks = await stack.enter_async_context(
            open_webhooks(runs, executions, content=content, client=egress, catalogue=catalogue)
        )
        chronicle = make_chronicle(
            Sources(
                journal=journal,
                content=content,
                catalogue=catalogue,
                runs=runs,
                executions=executions,
                nodes=nodes,
            )
        )
        notes = AgentNotes(chronicle.reports)
        stack.push_async_callback(notes.close)
        engine = ExecutionsEngine(executions, chronicle.reports)
        fleet = await stack.enter_async_context(open_fleet(nodes, remote_nodes, engine, settings=settings))
        sessions = Sessions(runs, nodes, executions=executions, content=content, providers=providers)
        phones, webrtc_calls = _open_lines(sessions, providers, stack=stack)
        stack.push_async_callback(sessions.close)
        await _host(agents, executions, notes, providers=providers)
        await executions.recover(kept.going_on)
        draining = Draining(sessions, executions)
        kept.telemetry.watch(executions, draining)
        yield ControlPlane(
            settings=settings,
            journal=journal,
            content=content,
            catalogue=catalogue,
            chronicle=chronicle,
            memory=memory,
            nodes=nodes,
            remote_nodes=remote_nodes,
            fleet=fleet,
            egress=egress,
            executions=executions,
            webhooks=webhooks,
            sessions=sessions,
            providers=providers,
            phones=phones,
            webrtc_calls=webrtc_calls,
            telemetry=kept.telemetry,
            draining=draining,
            checks=checks_of(journal, content, providers=providers, draining=draining),
        )
