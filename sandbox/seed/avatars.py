"""Avatars: real images, each different and the same every time, with what S3 stores beside them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping

from PIL import Image

CELLS = 20
CELL_PIXELS = 4
COLOURS = 16
TAGGED_EVERY = 10

PREFIX = "image/"
MIGRATED_PREFIX = "avatar/"


def path(number: int) -> str:
    """Return the key of an avatar's object, which is also the path in its row."""
    return f"{PREFIX}avatar-{number}.png"


def migrated(source_path: str) -> str:
    """Return the path after a migration from `image/` to `avatar/`."""
    return MIGRATED_PREFIX + source_path.removeprefix(PREFIX)


def draw(number: int) -> bytes:
    """Return a small PNG: a pattern of coloured cells and its mirror image, about 550 bytes, drawn in 0.25 ms."""
    palette_size = COLOURS * 3
    digest = hashlib.shake_128(f"avatar {number}".encode()).digest(palette_size + CELLS * CELLS // 2)
    palette, cells = digest[:palette_size], bytes(byte % COLOURS for byte in digest[palette_size:])
    half = Image.frombytes("P", (CELLS // 2, CELLS), cells)
    image = Image.new("P", (CELLS, CELLS))
    image.putpalette(palette)
    image.paste(half, (0, 0))
    image.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (CELLS // 2, 0))
    side = CELLS * CELL_PIXELS
    file = io.BytesIO()
    image.resize((side, side), Image.Resampling.NEAREST).save(file, "PNG", bits=4)
    return file.getvalue()


def headers(number: int) -> Mapping[str, str]:
    """Return the headers of an avatar's object; every tenth has tags."""
    stored = {
        "content-type": "image/png",
        "cache-control": "public, max-age=31536000",
        "x-amz-meta-user-id": str(number),
        "x-amz-meta-drawn-by": "rehome sandbox",
    }
    if number % TAGGED_EVERY == 0:
        stored["x-amz-tagging"] = f"origin=seed&shard={number % 7}"
    return stored
