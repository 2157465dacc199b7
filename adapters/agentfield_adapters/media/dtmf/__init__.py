"""Digits a telephone dials as tones."""
