"""report: what a run leaves for people: summary.json, its lines for the terminal, and the lists in the state folder.

May import config, catalog, mapping, errors and files; knows no plan, bucket or database. Read in this order: `fields`
(every field of summary.json), `identities` (how its counts add up), `summary` (how it is kept), `outcome` and `lines`
(how it is shown), `lists` (one file per class).
"""
