"""The generated files are what their source says, and the generator reads the source as its header describes."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehome.config.environment_names import ENVIRONMENT_NAMES

from docs.generate.files import generated_files
from docs.generate.rendering import HEADER
from docs.generate.settings import (
    ROOT,
    description,
    environment_names,
    is_for_first_migration,
    read_sections,
    read_settings,
)

FILES = generated_files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_file_is_what_its_source_says(path: Path) -> None:
    name = path.relative_to(ROOT)
    assert path.read_text(encoding="utf-8") == FILES[path], f"{name} differs from what is generated: run make docs"
    assert HEADER.partition(";")[0] in FILES[path]


def test_every_setting_is_in_one_section() -> None:
    assert [name for section in read_sections() for name in section.names] == list(read_settings())


def test_the_environment_names_of_the_contract_are_fallbacks() -> None:
    """Operators of the earlier scripts rely on them."""
    contract = {
        "rehome_source.bucket": "S3_LEGACY_BUCKET_NAME",
        "rehome_source.prefix": "OLD_PREFIX",
        "rehome_source.endpoint_url": "S3_ENDPOINT_URL",
        "rehome_target.bucket": "S3_PROD_BUCKET_NAME",
        "rehome_target.prefix": "NEW_PREFIX",
        "rehome_target.endpoint_url": "S3_ENDPOINT_URL",
        "rehome_database.host": "DB_HOST",
        "rehome_database.name": "DB_NAME",
        "rehome_database.user": "DB_USER",
        "rehome_database.password": "DB_PASSWD",
        "rehome_admin_database.user": "DB_ADMIN_USER",
        "rehome_admin_database.password": "DB_ADMIN_PASSWD",
    }
    assert {setting: name for setting, name in contract.items() if name not in ENVIRONMENT_NAMES[setting]} == {}


def test_markers_in_a_description_are_read() -> None:
    option = {"type": "str", "description": "First migration: the server. Falls back to E(DB_HOST),\n E(HOST)."}
    assert is_for_first_migration(option)
    assert description(option) == "The server. Falls back to E(DB_HOST),\n E(HOST)."
    assert environment_names(option) == ("DB_HOST", "HOST")
    other = {"type": "str", "description": "The region. If unset, botocore decides (E(AWS_REGION))."}
    assert not is_for_first_migration(other)
    assert environment_names(other) == ()


def test_a_first_migration_needs_few_settings() -> None:
    names = [name for name, option in read_settings().items() if is_for_first_migration(option)]
    assert names == [
        "rehome_name",
        "rehome_source",
        "rehome_target",
        "rehome_include",
        "rehome_references",
        "rehome_database",
    ]
