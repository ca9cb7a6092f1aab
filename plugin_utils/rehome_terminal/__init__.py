"""What people see of a run while it works: pure rendering of `progress.json`, and the block that is redrawn in place.

Read `stages` (the names of the stages), `lines` (a line for logs), `signs` (what a terminal may be given), `pace`
(rates), `block` (what is redrawn), `entries` (lines that stay), `printer` (how they are printed), `watch` (the thread
that shows a task while it runs). `lines`, `signs`, `stages` and `pace` need no package; the others need rich. The
controller's Ansible loads this, and not the modules: nothing of the engine is imported.
"""
