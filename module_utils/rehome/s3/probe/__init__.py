"""probe: say here what lives in this room, and what it may know."""
