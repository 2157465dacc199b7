"""Telephones: calls that ring here and are answered, refused or handed on by whoever the webhook tells."""
