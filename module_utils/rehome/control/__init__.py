"""What operators ask of a run while it works: to pause, to go on, and with which limits. No I/O.

May import: errors. Read orders (what one door says, and how two of them are merged), then controls (what the parts of a
run ask: shall I wait, how many at once). words has what is known of a run as lines for people. The doors are a file in
the state folder (state/control_file.py) and a row in the journal's schema (db/control.py, state/control_row.py).
"""
