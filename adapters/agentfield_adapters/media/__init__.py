"""A caller's media where this process carries it: phones, browsers, recordings. Knows no provider."""
