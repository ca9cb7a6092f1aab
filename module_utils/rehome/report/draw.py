"""Draw Vega-Lite specifications as SVG: a list of them on standard input, a list of texts on standard output.

A process of its own, started by `charts.draw`, in which nothing of Rehome is imported.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Draw what standard input asks for, without any network."""
    import vl_convert  # noqa: PLC0415 - whoever starts this file is told what is lacking

    specs = json.load(sys.stdin)
    json.dump([vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]) for spec in specs], sys.stdout)


if __name__ == "__main__":
    main()
