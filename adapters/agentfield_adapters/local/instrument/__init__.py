"""What makes the provider a test instrument: its log, its setups, its admin endpoint."""
