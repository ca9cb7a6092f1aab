"""The copy on more than one machine: shards of the queue, which workers of dask.distributed copy with the same engine.

May import `s3`, `config` and the rooms below them. Read in this order: shards and outcomes (pure), uploads, orders;
mover (one worker's copy, without dask), access (what its keys may do), worker (how dask runs both); then engine,
connect, ask and controller.
"""
