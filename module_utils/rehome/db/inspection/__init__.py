"""What the preflight asks of a database beyond what the rewrite itself needs to know. Reads only."""
