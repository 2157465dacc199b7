"""Where records are kept. Each module here meets `Store`; the engine above them is one and the same."""
