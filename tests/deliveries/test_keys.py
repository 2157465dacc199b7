"""What makes two deliveries the same one, and which names may stand in the journal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentfield_rt.core import deliveries as core
from agentfield_rt.core import records
from agentfield_rt.deliveries import Destination, Output


@pytest.mark.parametrize("name", ["", "a b", "+49 151 1234", "someone@example.com", "x" * 129, "ü"])
def test_an_address_is_no_name_and_the_refusal_does_not_repeat_it(name: str) -> None:
    for refused in (
        lambda: Destination("crm", name),
        lambda: Destination(name, "7"),
        lambda: Output(source_id=name, body=b""),
    ):
        with pytest.raises(ValueError, match="must be a name") as error:
            refused()
        assert not name or f"'{name}'" not in str(error.value)


REQUEST = records.OutputDispatchRequested(
    op_id="dlv_1",
    dedupe_key="",
    destination_kind="crm",
    destination_id="case-42",
    sink="desk",
    delivery=records.DeliveryKind.RESULT,
    source_id="turn_1",
    version=1,
    output_ref="ref",
    deadline_s=1,
)
NAMES = st.text("ab|", max_size=3)


@given(st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES), min_size=2, max_size=2, unique=True))
def test_different_fields_never_make_one_key_however_they_are_cut(
    pair: list[tuple[str, str, str, str]],
) -> None:
    keys = {
        core.dedupe_key(
            run_id, replace(REQUEST, destination_kind=kind, destination_id=destination, source_id=source)
        )
        for run_id, kind, destination, source in pair
    }
    assert len(keys) == 2


def test_the_key_of_today_is_the_key_of_tomorrow() -> None:
    """A journal that is opened again proves deliveries by it, so it never changes."""
    assert (
        core.dedupe_key("run_1", REQUEST)
        == "313b435fe81695f06048438e85a43301696e1f2751024095d156e8ba99c0673a"
    )
