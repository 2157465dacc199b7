"""The demo with a synthetic caller: a plane and a call on one event loop, and what to print about them."""

import asyncio
from pathlib import Path

import msgspec
from rich.markup import escape
from rich.table import Table

from agentfield_rt import Agent
from agentfield_rt.cli.demo.call import CallReport, make_call
from agentfield_rt.cli.demo.recording import Samples, read_recording, write_recording
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.http import PlaneClient
from agentfield_rt.cli.printing import stderr, stdout, write_result
from agentfield_rt.cli.serving import farewell
from agentfield_rt.config import Settings
from agentfield_rt.plane.data_directory import journal_path
from agentfield_rt.plane.server import serve_async


def call_and_report(
    agent: Agent, settings: Settings, *, call: Path, reply: Path | None, as_json: bool
) -> None:
    """Serve `agent`, call it with a recording, and print what came of it.

    Raises:
        Failure: the recording cannot be read, the reply not written, or the call broke off.
    """
    recording = read_recording(call)
    if reply is not None and not reply.parent.is_dir():
        raise Failure(f"cannot write {reply}: there is no folder {reply.parent}")
    try:
        report = asyncio.run(_serve_and_call(agent, settings, recording))
    except Failure as failure:
        message = f"{failure}; what happened is in {journal_path(settings.data)}"
        raise Failure(message, failure.exit_code) from failure
    if reply is not None:
        write_recording(reply, report.reply)
    if as_json:
        write_result(_as_json(report, settings, reply))
    else:
        stdout().print(_as_table(report))
        stdout().print(farewell(settings.data), soft_wrap=True)


async def _serve_and_call(agent: Agent, settings: Settings, recording: Samples) -> CallReport:
    """The server lives as long as the call; Ctrl-C ends the server, and the call with it."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with stderr().status("Starting the control plane and the voice provider …") as status:

        async def call() -> CallReport:
            async with PlaneClient(await url) as client:
                status.update("Calling …")
                return await make_call(
                    client, recording, connected=lambda: status.update("Talking and listening …")
                )

        serving = asyncio.create_task(serve_async([agent], settings, on_ready=url.set_result))
        calling = asyncio.create_task(call())
        await asyncio.wait([serving, calling], return_when=asyncio.FIRST_COMPLETED)
        status.update("Hanging up …")
        for task in (calling, serving):
            task.cancel()
            await asyncio.wait([task])
    if serving.done() and not serving.cancelled() and (error := serving.exception()) is not None:
        raise error
    if calling.cancelled():
        raise Failure("interrupted", ExitCode.INTERRUPTED)
    return calling.result()


def _as_json(report: CallReport, settings: Settings, reply: Path | None) -> object:
    return {
        "turns": [msgspec.to_builtins(turn) for turn in report.turns],
        "journal": str(journal_path(settings.data)),
        "reply": str(reply) if reply is not None else None,
        "session_id": report.session_id,
        "run_id": report.run_id,
        "target": report.target,
    }


def _as_table(report: CallReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    for heading in ("turn", "heard", "said", "reply"):
        table.add_column(heading, justify="right" if heading in ("turn", "reply") else "left")
    for number, turn in enumerate(report.turns, start=1):
        heard = escape(turn.heard) if turn.understood else "[yellow](not understood)[/yellow]"
        reply = "none" if turn.reply_ms is None else f"{turn.reply_ms} ms"
        table.add_row(str(number), heard, escape(turn.said), reply)
    if not report.turns:
        table.add_row("", "(no speech was heard)", "", "")
    return table
