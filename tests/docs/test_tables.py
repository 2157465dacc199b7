"""Tables of the documentation are tables: rows behind a blank line are shown as text with bars in it."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(page for page in ROOT.glob("docs/**/*.md") if "_build" not in page.parts)


def rows_without_a_head(page: Path) -> Iterator[str]:
    text = re.sub(r"^(```+).*?^\1$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        head = table.splitlines()
        if len(head) < 2 or not re.fullmatch(r"\|[\s:|-]+\|", head[1]):
            yield f"{page.relative_to(ROOT)}: {head[0][:60]}"


def test_every_table_has_a_head() -> None:
    assert [row for page in PAGES for row in rows_without_a_head(page)] == []
