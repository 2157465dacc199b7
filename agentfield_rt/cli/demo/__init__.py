"""The demo's insides: the example agent, and a caller made of a recording and a peer connection."""
