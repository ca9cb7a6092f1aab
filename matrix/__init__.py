"""`make matrix`: Rehome's tests on servers of many kinds and versions, none of which is installed on the machine.

Read `packages` (programs of other Debian releases, unpacked), `npm` (PostgreSQL's versions), `servers/` (each a private
instance), `tried` (which tests run on which server), `results`, `page`, `all`. `python` is for `make test-newest`.
"""
