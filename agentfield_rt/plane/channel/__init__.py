"""The plane's side of the channel: agents that connected, the work they do, the sessions they handle."""
