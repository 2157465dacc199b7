"""Content the journal only refers to: audio, transcripts, arguments. Encrypted per subject, erasable."""
