"""engines: one folder per database behind the interfaces `db.dialect.Dialect` and `db.inspector.Inspector`.

It may import the other files of `db`, but not `throttle`. Read `base`, then one engine: `dialect` (the methods of a
connection), `statements` (the SQL text), `connection` (opening, errors), `inspector` (what preflight checks), `load`
(what the throttle watches), `account` (what grants reads). `open` and `open_inspector` select the engine.
"""
