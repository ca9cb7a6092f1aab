"""The database engine: one file per dialect under a small protocol; walk, rewrite and journal over it."""
