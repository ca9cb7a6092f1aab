"""Pause the rewrite of rows while the servers, the clock or the operator require it.

The top of `db`: may import all of it, `config`, `progress` and `errors`. Read `signals` (each a threshold and the
reason to pause beyond it), `throttle` (waits while a signal says so), `monitor` (reads a server's load in the
background) and `assemble` (builds the throttle that the settings describe).
"""
