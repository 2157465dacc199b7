"""OpenAI's Realtime wire: shapes, checks and nothing that acts on them."""
