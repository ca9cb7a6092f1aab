"""The engine of Rehome: a pure core (settings, key map, plan) with the effects at its edge (`s3`, `db`, files)."""
