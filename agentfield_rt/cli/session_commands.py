import typer

session = typer.Typer()


@session.command("start")
def start() -> None: ...
