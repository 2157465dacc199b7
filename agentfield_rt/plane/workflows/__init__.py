"""What ran, as AgentField draws and queries it."""
