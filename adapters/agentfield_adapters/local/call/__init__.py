"""Calls over WebRTC: the peer connection, its audio both ways, and the calls a provider has going on."""
