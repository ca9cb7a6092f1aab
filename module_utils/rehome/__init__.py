"""The engine of Rehome: a pure core (settings, key map, plan) with the effects at its edge (`s3`, `db`, files).

A room imports only rooms below it: tests/unit/test_rooms.py has the floors, CONTRIBUTING.md the map.
"""
