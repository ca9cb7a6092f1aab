"""Photograph a page in chromium."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

SIZE = (1_000, 1_100)

Scheme = Literal["light", "dark"]
_PREFERRED = {"dark": 0, "light": 1}
"""Blink's numbers of the colour schemes (PreferredColorScheme in web_settings.h)."""


def photograph(page: Path, picture: Path, scheme: Scheme) -> None:
    """Write a picture of the top of a page. Raises FileNotFoundError without chromium, and CalledProcessError."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise FileNotFoundError("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(  # noqa: S603 - our own command
            [
                *(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *(f"--user-data-dir={profile}", f"--window-size={SIZE[0]},{SIZE[1]}"),
                *(f"--blink-settings=preferredColorScheme={_PREFERRED[scheme]}", "--virtual-time-budget=3000"),
                *(f"--screenshot={picture.absolute()}", page.absolute().as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
