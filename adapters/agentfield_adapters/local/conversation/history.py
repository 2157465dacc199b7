"""The items of a conversation, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import UnsetType, structs

from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.protocol.items import FunctionCall, FunctionCallOutput, Item, item_id
from agentfield_adapters.local.protocol.validation import Refusal

ItemT = TypeVar("ItemT", bound=Item)

ROOT = "root"  # as previous_item_id: before everything
ITEMS_MAX = 2000


class History:
    """Items by id, in the order of the conversation; of very many, the newest."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._order: list[str] = []
        self._items: dict[str, Item] = {}

    def __len__(self) -> int:
        return len(self._order)

    @property
    def last_id(self) -> str | None:
        """The id of the newest item."""
        return self._order[-1] if self._order else None

    def items(self) -> Sequence[Item]:
        """Return all items, oldest first."""
        return [self._items[key] for key in self._order]

    def get(self, key: str) -> Item | None:
        """Return an item, or None when there is no such item."""
        return self._items.get(key)

    def previous_of(self, key: str) -> str | None:
        """Return the id of the item before `key`."""
        index = self._order.index(key)
        return self._order[index - 1] if index else None

    def add(self, item: ItemT, *, after: str | None = None) -> ItemT:
        """Add an item and return it with its id.

        Args:
            item: Gets an id when it has none.
            after: An id, `root` for the beginning, or None for the end.

        Raises:
            Refusal: The id is taken, `after` is unknown, or it is the output of a call that is not here.
        """
        if isinstance(item.id, UnsetType):
            item = structs.replace(item, id=self._ids.new("item"))
        key = item_id(item)
        if key in self._items:
            raise Refusal("invalid_value", f"An item with id '{key}' already exists.", "item.id")
        if after is not None and after != ROOT and after not in self._items:
            raise Refusal(
                "item_create_invalid_previous_item_id",
                f"Previous item with id '{after}' does not exist.",
                "previous_item_id",
            )
        if isinstance(item, FunctionCallOutput) and not self._has_call(item.call_id):
            raise Refusal(
                "invalid_tool_call_id",
                f"Tool call ID '{item.call_id}' not found in conversation.",
                "item.call_id",
            )
        index = len(self._order) if after is None else 0 if after == ROOT else self._order.index(after) + 1
        self._order.insert(index, key)
        self._items[key] = item
        if len(self._order) > ITEMS_MAX:
            self.delete(self._order[0])  # like the service's truncation: without an event
        return item

    def _has_call(self, call_id: str) -> bool:
        return any(
            isinstance(item, FunctionCall) and item.call_id == call_id for item in self._items.values()
        )

    def replace(self, item: Item) -> None:
        """Put a changed item in the place of the old one; one that was deleted meanwhile stays deleted."""
        if item_id(item) in self._items:
            self._items[item_id(item)] = item

    def delete(self, key: str) -> bool:
        """Forget an item; False when there is no such item."""
        if self._items.pop(key, None) is None:
            return False
        self._order.remove(key)
        return True
