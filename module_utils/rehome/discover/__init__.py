"""Find every column of the database whose values name objects of the source.

Read `spoken` and `recognise` (pure: what a value says), `evidence` (what a column's values add up to), then `search`
(the walk over the tables), `columns` (the result), `record` (its file) and `standing` (what others ask of it).
"""
