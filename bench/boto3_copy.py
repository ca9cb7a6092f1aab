"""`python bench/boto3_copy.py ENDPOINT BUCKET PREFIX BUCKET PREFIX`: a copy with boto3 as most people write it.

It runs in the peers' environment, so it imports nothing of Rehome.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3  # type: ignore[import-untyped] # ships no types
from botocore.config import Config

THREADS = 64


def main() -> int:
    """Copy the prefix. Return the exit status."""
    endpoint_url, source_bucket, source_prefix, target_bucket, target_prefix = sys.argv[1:]
    client: Any = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        config=Config(max_pool_connections=THREADS, s3={"addressing_style": "path"}),
    )

    def copy(key: str) -> None:
        client.copy_object(
            Bucket=target_bucket,
            Key=target_prefix + key.removeprefix(source_prefix),
            CopySource={"Bucket": source_bucket, "Key": key},
        )

    with ThreadPoolExecutor(THREADS) as pool:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=source_bucket, Prefix=source_prefix)
        for _ in pool.map(copy, (entry["Key"] for page in pages for entry in page.get("Contents", ()))):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
