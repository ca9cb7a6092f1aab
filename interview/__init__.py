"""The first five minutes: ask what moves, try each answer at once, and write the inventory of an environment.

`python -m interview` is what `make init` runs. Read in this order: `command_line.py` (every answer as an option),
`answers.py` (an answer is an option, or asked for), `prompts.py` (how is asked), `dialog.py` (what is asked, in order),
`bucket_questions.py`, `glob_question.py`, `database_questions.py`, `reference_questions.py`; beside them the pure rules
(`globs.py`, `draft.py`, `rendering.py`, `difference.py`), what is looked up (`bucket_listing.py`, `columns.py`) and
what is written (`place.py`, `vault.py`, `validation.py`, `writing.py`).
"""

import sys
from pathlib import Path

# Rehome is run from its checkout: its engine is where Ansible expects it, not where Python looks.
_ENGINE = str(Path(__file__).absolute().parents[1] / "module_utils")
if _ENGINE not in sys.path:
    sys.path.append(_ENGINE)
