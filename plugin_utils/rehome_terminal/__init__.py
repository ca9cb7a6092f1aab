"""What people see of a run while it works: pure rendering of `progress.json`, and the block that is redrawn in place.

Read `stages` (the names of the stages), `lines` (a line for logs), `pace` (rates and forecasts), `block` (what is
redrawn), `entries` (lines that stay), `watch` (the thread that shows them). Only `block`, `entries` and `watch` need
the package rich. The controller's Ansible loads this, and not the modules: nothing of the engine is imported.
"""
