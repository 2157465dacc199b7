"""An agent whose control plane is elsewhere: it connects there, and its code notices nothing of it."""
