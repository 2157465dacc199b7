"""Writes reference/lifecycle.md from the lifecycle table, so that the page cannot disagree with the code."""

from pathlib import Path

from agentfield_rt.core.lifecycle import (
    COMMANDS,
    FEATURE_OPERATIONS,
    OPERATIONS,
    REPAIRABLE,
    TERMINAL,
    TRANSITIONS,
    Phase,
    Reaction,
)

PAGE = Path(__file__).parent / "reference" / "lifecycle.md"

_HEAD = """# Life of a session

Generated from `agentfield_rt/core/lifecycle.py` by `docs/generate_lifecycle.py`.

The *phase* says where a session is in its life. While an operation's outcome is unknown, a session also
*needs repair*: then only {repairable} are possible.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_head(), _diagram(), _commands(), _operations(), _records()])


def _head() -> str:
    repairable = [command.__name__ for command in COMMANDS if command in REPAIRABLE]
    return _HEAD.format(repairable=", ".join(repairable))


def _diagram() -> str:
    """Phases and the records that lead from one to another, as Mermaid text."""
    lines = ["## Phases", "", "```mermaid", "stateDiagram-v2", "    [*] --> idle"]
    for record, steps in TRANSITIONS.items():
        for source, target in steps.items():
            if source is not target:
                lines.append(f"    {source} --> {target}: {record.kind.removeprefix('realtime_')}")
    lines += [f"    {phase} --> [*]" for phase in Phase if phase in TERMINAL]
    return "\n".join([*lines, "```", ""])


def _commands() -> str:
    """Which command does what in which phase."""
    words = {Reaction.ACT: "yes", Reaction.GATE: "waits at the gate", Reaction.IGNORE: "nothing to do"}
    lines = ["## Commands", "", "| command | " + " | ".join(Phase) + " |", "| --- " * (len(Phase) + 1) + "|"]
    for command, reactions in COMMANDS.items():
        cells = [words[reactions[phase]] if phase in reactions else "—" for phase in Phase]
        lines.append(f"| {command.__name__} | " + " | ".join(cells) + " |")
    return "\n".join(
        [*lines, "", "— refused with `IllegalCommand`: nothing is journaled, nothing changes.", ""]
    )


def _operations() -> str:
    """Every opener and its closers."""
    lines = ["## Operations", "", "Every opener gets exactly one of its closers, whatever happens.", ""]
    lines += ["| operation | opener | done | not done | unknown | unknown needs repair |", "| --- " * 6 + "|"]
    for name, operation in OPERATIONS.items():
        kinds = (operation.opener, operation.done, operation.not_done, operation.unknown)
        cells = [f"`{record.kind}`" for record in kinds]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {'yes' if operation.repair else 'no'} |")
    lines += ["", "Above the provider boundary:", "", "| opener | closed by one of |", "| --- | --- |"]
    for opener, closers in FEATURE_OPERATIONS.items():
        lines.append(f"| `{opener.kind}` | {', '.join(sorted(f'`{closer.kind}`' for closer in closers))} |")
    return "\n".join([*lines, ""])


def _records() -> str:
    """Where each record may stand."""
    lines = ["## Records", "", "| record | possible in | leads to |", "| --- | --- | --- |"]
    for record, steps in TRANSITIONS.items():
        elsewhere = sorted({target for source, target in steps.items() if source is not target})
        leads = ", ".join(elsewhere) or "the same phase"
        lines.append(f"| `{record.kind}` | {', '.join(steps)} | {leads} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page())
