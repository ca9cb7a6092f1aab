"""The README's pictures, taken of real runs: `python -m pictures`, which `make pictures` runs.

`sandbox_runs.py` starts a private sandbox and runs the verbs in it, `screen.py` records a run at a pseudo-terminal,
`drawing.py` draws a screen as SVG, and `browser.py` takes a page as PNG.
"""
