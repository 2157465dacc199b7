"""The tests bite: every planted bug turns one of them red."""

import pytest

from tests.planting import Bug, Proof, prove
from tests.rules.planted import PLANTED


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch)


@pytest.mark.parametrize("proof", [proof for proof in PLANTED.proofs if not hasattr(proof, "hypothesis")])
def test_without_a_bug_its_proof_is_content(proof: Proof) -> None:
    prove(proof)
