"""Memory of agents in four scopes: values, vectors, changes. Sealed, and erased with whom it is about."""
