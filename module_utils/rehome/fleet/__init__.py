"""Work on more than one machine: shards of it, which workers of dask.distributed do with the same engine.

May import `s3`, `config` and the rooms below them. Read in this order: shards and outcomes (pure), uploads, orders;
mover (one worker's copy, without dask), reader, comparing, ranges, listing and readings (what it may read instead),
access (what its keys may do), worker (how dask runs them); then engine, connect, ask, dispatch (the controller's
window, for any work), controller (the copy) and reading.
"""
