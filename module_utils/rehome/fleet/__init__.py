"""The copy on more than one machine: shards of the queue, which workers copy with the same engine.

May import `s3`, `config` and the rooms below them. Read in this order: shards, outcomes, uploads.
"""
