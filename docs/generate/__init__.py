"""Generate what repeats the settings from roles/rehome/meta/argument_specs.yml, and docs/summary.md: `make docs`.

`settings` reads that file. Each other module renders one generated thing and names its path; the fixed text is in
`templates/`. `files` lists all of them, and tests/unit/docs holds the checked-in files against them.
"""
