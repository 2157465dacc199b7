import typer

journal = typer.Typer()


@journal.command("start")
def start() -> None: ...
