"""A realtime voice provider on this machine: OpenAI's Realtime protocol, no key, no network, no download.

It is a process of its own. Nothing here may import the runtime: whoever wants this provider reaches it
through the same adapters, and the same wire, as the real service.
"""
