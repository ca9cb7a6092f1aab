"""Write every generated file: `python -m docs.generate`."""

from __future__ import annotations

from docs.generate.files import generated_files

if __name__ == "__main__":
    for path, text in generated_files().items():
        path.write_text(text, encoding="utf-8")
