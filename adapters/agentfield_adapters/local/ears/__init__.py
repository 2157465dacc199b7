"""The provider's ears: when someone speaks, and which of the expected sentences it was. Knows no events."""
