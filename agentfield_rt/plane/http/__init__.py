"""What all routes share: guards, dependencies, hot routes and how they are documented."""
