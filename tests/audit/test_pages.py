"""The pages about the audit and the guarantees agree with the code and the tests they name."""

import re
from pathlib import Path

import pytest

from agentfield_rt.audit import Code

ROOT = Path(__file__).parents[2]
GUARANTEES = sorted((ROOT / "docs" / "guarantees").glob("*.md"))


def test_the_page_names_every_code_and_no_other() -> None:
    page = (ROOT / "docs" / "reference" / "audit.md").read_text()
    assert set(re.findall(r"`(\d\d-[a-z-]+)`", page)) == {code.value for code in Code}


@pytest.mark.parametrize("page", GUARANTEES, ids=lambda page: page.stem)
def test_what_a_guarantee_cites_is_there(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"`((?:tests|benchmarks)/[a-z_/.]+)`", text):
        assert (ROOT / path).exists(), path
    if page.stem != "index":
        assert all(
            heading in text for heading in ("**Promised.**", "**What proves it.**", "**Not promised.**")
        )
        numbers = re.findall(r"\b(\d\d?)\b", text.partition("Audit:")[2].partition("\n\n")[0])
        checked = {code.invariant for code in Code} | {22}
        assert {int(number) for number in numbers} <= checked
