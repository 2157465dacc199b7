"""What can be said about a pattern before any text is seen: above all, how its matches begin.

`beginnings` gives a pattern of its own for every text that a match may still be coming from: each text that
is shorter than some match and begins like it, and each one whose match depends on the character that comes
next. It may take in more than that, never less.
"""

from agentfield_rt.core.rules.syntax import Assertion, Atom, Choice, Node, Repetition, Sequence

_NOTHING = "(?:)"


def source(node: Node) -> str:
    """The node in RE2's notation, as one unit that can be repeated."""
    match node:
        case Atom(text) | Assertion(text, _):
            return text
        case Sequence(parts):
            return f"(?:{''.join(source(part) for part in parts)})"
        case Choice(options):
            return f"(?:{'|'.join(source(option) for option in options)})"
        case Repetition(body, least, most):
            return f"{source(_once(body))}{_counts(least, most)}"


def beginnings(node: Node) -> str | None:
    """A pattern for the texts from which a match may still be coming; None where nothing can come."""
    match node:
        case Atom():
            return _NOTHING
        case Assertion(_, looks_ahead):
            return _NOTHING if looks_ahead else None
        case Sequence(parts):
            return _of_sequence(parts)
        case Choice(options):
            each = [one for option in options if (one := beginnings(option)) is not None]
            return f"(?:{'|'.join(each)})" if each else None
        case Repetition(_, _, 0):
            return None
        case Repetition(body, _, most):
            begun = beginnings(body)
            return None if begun is None else f"(?:{_before_the_last(body, most)}{begun})"


def _of_sequence(parts: tuple[Node, ...]) -> str | None:
    """Somewhere within a part, all parts before it being complete: from the last part to the first."""
    so_far: str | None = None
    for part in reversed(parts):
        begun = beginnings(part)
        later = None if so_far is None else f"{source(part)}{so_far}"
        both = [text for text in (begun, later) if text is not None]
        so_far = f"(?:{'|'.join(both)})" if both else None
    return so_far


def _before_the_last(body: Node, most: int | None) -> str:
    return source(_once(body)) + _counts(0, None if most is None else most - 1)


def _once(body: Node) -> Node:
    """A repetition stands in brackets before it is repeated again."""
    return Sequence((body,)) if isinstance(body, Repetition) else body


def _counts(least: int, most: int | None) -> str:
    if most is None:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    return f"{{{least},{most}}}"


def shortest_chars(node: Node) -> int:
    """How long a match is at least. An assertion may hold, so it costs nothing."""
    match node:
        case Atom():
            return 1
        case Assertion():
            return 0
        case Sequence(parts):
            return sum(shortest_chars(part) for part in parts)
        case Choice(options):
            return min(shortest_chars(option) for option in options)
        case Repetition(body, least, _):
            return least * shortest_chars(body)


def has_assertion(node: Node) -> bool:
    """Whether what a match's neighbours are can matter."""
    match node:
        case Atom():
            return False
        case Assertion():
            return True
        case Sequence(parts) | Choice(parts):
            return any(has_assertion(part) for part in parts)
        case Repetition(body, _, _):
            return has_assertion(body)


def characters(node: Node) -> set[str]:
    """The notations of all characters that can stand in a match."""
    match node:
        case Atom(text):
            return {text}
        case Assertion():
            return set()
        case Sequence(parts) | Choice(parts):
            return set[str]().union(*(characters(part) for part in parts))
        case Repetition(body, _, _):
            return characters(body)
