"""Stream rules: what to watch for in text as it streams, and what becomes of the text. Pure."""
