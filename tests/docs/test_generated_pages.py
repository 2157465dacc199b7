"""Pages that are made from code agree with it."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_lifecycle_page_is_what_the_table_says() -> None:
    generator = runpy.run_path(str(DOCS / "generate_lifecycle.py"))
    committed = (DOCS / "reference" / "lifecycle.md").read_text()
    assert committed == generator["page"](), "run: python docs/generate_lifecycle.py"


def test_the_providers_page_is_what_the_adapters_say() -> None:
    generator = runpy.run_path(str(DOCS / "generate_providers.py"))
    committed = (DOCS / "reference" / "providers.md").read_text()
    assert committed == generator["page"](), "run: python docs/generate_providers.py"


def test_the_pages_of_settings_and_metrics_are_what_the_code_says() -> None:
    generator = runpy.run_path(str(DOCS / "generate_operation.py"))
    for path, page in generator["PAGES"].items():
        assert path.read_text() == page(), "run: python docs/generate_operation.py"
