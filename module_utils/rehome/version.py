"""Rehome's version, for the record of a run. It is that of `collection/galaxy.yml`."""

VERSION = "0.1.0"
