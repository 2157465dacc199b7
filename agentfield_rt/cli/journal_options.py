"""What the commands of `af journal` have in common: which journal, which run, whether words are shown."""

from typing import Annotated

import typer

from agentfield_rt.cli.completing import complete_recorded_run

Place = Annotated[
    str,
    typer.Option(
        "--data", envvar="AGENTFIELD_RT_DATA", help="A data folder, a journal file, or a journal's URL"
    ),
]
Run = Annotated[
    str | None, typer.Argument(metavar="RUN", show_default=False, autocompletion=complete_recorded_run)
]
Content = Annotated[bool, typer.Option("--content", help="Show what was said, from the content store")]

DATA = ".agentfield"
EVERY_RUN = "all"
"""In place of a run: every one."""
