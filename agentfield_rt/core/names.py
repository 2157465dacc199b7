"""What counts as a name: all that a record may hold of a word that comes from outside."""

CHARACTERS_MAX = 512


def is_name(text: object) -> bool:
    """Whether it may stand in a record: printable, without spaces, 1 to 512 characters. Not free text."""
    return (
        isinstance(text, str) and 0 < len(text) <= CHARACTERS_MAX and text.isprintable() and " " not in text
    )
