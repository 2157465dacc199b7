"""Everything outside: providers, phone vendors, media. The runtime finds it by entry points."""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent until whoever runs it configures logs
