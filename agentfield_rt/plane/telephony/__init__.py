"""Callers on a telephone: over a vendor's media stream, or ringing at the provider."""
