"""A page as a browser shows it, light and dark: Debian's chromium, without a screen."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

WIDTH: Final = 1280
LONGEST_S: Final = 120
_QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--no-first-run",
)
_SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "light": (),
    "dark": ("--blink-settings=preferredColorScheme=0",),
}


def photograph(page: str, folder: Path, name: str, height: int) -> None:
    """Write `<name>-light.png` and `<name>-dark.png` of the top of a page.

    page: its HTML
    height: in pixels
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not installed: make packages installs it")
    for scheme, options in _SCHEMES.items():
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, "page.html")
            file.write_text(page, encoding="utf-8")
            picture = folder / f"{name}-{scheme}.png"
            places = [f"--user-data-dir={scratch}/profile", f"--screenshot={picture}", f"file://{file}"]
            subprocess.run(  # noqa: S603 - a page of our own
                [chromium, "--headless=new", *_QUIET, *options, f"--window-size={WIDTH},{height}", *places],
                check=True,
                capture_output=True,
                timeout=LONGEST_S,
            )
