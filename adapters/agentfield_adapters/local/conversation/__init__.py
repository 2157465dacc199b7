"""One session's conversation: items, turns and answers. Knows events and ports, no sockets and no codecs."""
