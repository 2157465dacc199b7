"""What makes a journal evidence: a tree over the heads of runs, and signed checkpoints of it."""
