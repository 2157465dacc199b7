"""Discovery as XML, for models that read it more easily than JSON."""

import re
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from agentfield_rt.plane.nodes.discovery import Discovery, Included, as_json

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_xml(found: Discovery, included: Included) -> str:
    """Everything, by node, as XML."""
    whole = as_json(found, included)
    root = Element("discovery", discovered_at=found.discovered_at)
    totals = {f"{name}s": str(whole[f"total_{name}s"]) for name in ("agent", "reasoner", "skill")}
    SubElement(root, "summary", totals)
    pagination = {name: msgspec.json.encode(value).decode() for name, value in whole["pagination"].items()}
    SubElement(root, "pagination", pagination)
    capabilities = SubElement(root, "capabilities")
    for agent in whole["capabilities"]:
        words = {name: _printable(value) for name, value in agent.items() if isinstance(value, str)}
        element = SubElement(capabilities, "agent", {"id": words.pop("agent_id"), **words})
        for name in ("reasoner", "skill"):
            places = SubElement(element, f"{name}s")
            for offer in agent[f"{name}s"]:
                _offer_as_xml(SubElement(places, name), offer)
    return tostring(root, encoding="unicode", xml_declaration=True)


def _offer_as_xml(element: Element, offer: dict[str, Any]) -> None:
    element.set("id", _printable(offer["id"]))
    element.set("target", _printable(offer["invocation_target"]))
    if "description" in offer:
        SubElement(element, "description").text = _printable(offer["description"])
    tags = SubElement(element, "tags")
    for tag in offer["tags"]:
        SubElement(tags, "tag").text = _printable(tag)
    for name in ("input_schema", "output_schema"):
        if name in offer:  # JSON within XML: whoever wants a schema has a reader for JSON schemas
            SubElement(element, name).text = _printable(msgspec.json.encode(offer[name]).decode())


def _printable(text: str) -> str:
    """Without the characters that XML cannot hold, not even escaped."""
    return _UNPRINTABLE.sub("", text)
