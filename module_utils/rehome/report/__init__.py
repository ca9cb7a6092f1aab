"""report: what a run leaves for people: summary.json, its lines, the lists, and the report.

May import config, catalog, mapping, errors and files; knows no plan, bucket or database. Read in this order: `fields`
(every field of summary.json), `identities` (how its counts add up), `summary` (how it is kept), `outcome` (in words),
`lists` (one file per class). Then the report for the change ticket: `facts` (everything in report.json), `samples`,
`checks` and `estimate` (where facts come from), `commands` (what is next), `assemble` and `document` (how it is
kept), `markdown` with `words` and report.md.j2 (how it is shown), `page` with page.html.j2, `compiled` (their
bytecode), `flow` (the picture), `over_time`, `charts` with `draw` (the run over time) and `tables` (the lists).
`again` reads the report of a run that is over or was killed; `showing` is what `show` shows. Last what a terminal
shows at the end: `lines` (what lines are made of), `done` and `attention` (what a verb did, what needs a human),
`card`, and `plan_text` for a plan.
"""
