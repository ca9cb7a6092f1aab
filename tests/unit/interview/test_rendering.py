from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from interview import rendering, validation
from interview.draft import Draft, Exported, Secret
from interview.place import find_place
from interview.vault import VaultPassword, encrypted

PASSWORD = VaultPassword("pass")
SECRET = Secret("rehome_source.secret_key", "s3cret")
WITH_SECRET = {"bucket": "b", "prefix": "p/", "access_key": "AK", "secret_key": SECRET}


def draft(**changes: Any) -> Draft:
    made = Draft(
        "staging",
        name="avatars-staging",
        source={"bucket": "legacy-s3", "prefix": "image/", "region": "eu-central-1"},
        target={"bucket": "production-s3", "prefix": "avatar/", "region": "eu-central-1"},
        include=["avatar-*.png"],
        database={"engine": "mariadb", "host": "db.internal", "name": "app", "user": "rehome"},
        references=[{"table": "avatars", "column": "path", "form": "key"}],
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def as_ansible_reads(
    made: Draft, folder: Path, kept: list[str] | None = None, secrets: dict[str, str] | None = None
) -> dict[str, Any]:
    place = find_place(folder / "inventory", "staging")
    vault = encrypted(secrets, PASSWORD) if secrets else None
    return validation.variables_of(place, "staging", rendering.settings_text(made, kept or []), vault, PASSWORD)


def test_what_is_written_is_read_by_ansible_and_taken_by_the_engine(tmp_path: Path) -> None:
    read = as_ansible_reads(draft(), tmp_path)
    settings = validation.read(read, {})
    assert (settings.name, settings.source.bucket, settings.target.prefix) == (
        "avatars-staging",
        "legacy-s3",
        "avatar/",
    )
    assert settings.include == ("avatar-*.png",)
    assert [reference.name for reference in settings.references] == ["avatars.path"]


TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=20)


@example(prefix=":0", glob="{a,b}", table="[x]", text="a: b")
@example(prefix="\x85", glob="{{ x }}", table="- a", text="?")
@given(prefix=TEXTS, glob=TEXTS, table=TEXTS, text=TEXTS)
def test_no_value_is_taken_for_something_else_not_even_for_a_template(
    prefix: str, glob: str, table: str, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = draft(
        source={"bucket": "b", "prefix": prefix},
        include=[glob],
        references=[{"table": table, "column": "c", "form": {"prefix": text, "encoded": True}}],
    )
    # JSON's way round the tags of Ansible
    found = yaml.load(rendering.settings_text(made), Loader=_Unsafe)  # noqa: S506 - a safe loader
    assert found["rehome_source"]["prefix"] == prefix
    assert found["rehome_include"] == [glob]
    assert found["rehome_references"] == made.references


class _Unsafe(yaml.SafeLoader):
    pass


_Unsafe.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@pytest.mark.parametrize(
    "value", ["{{ 7 * 7 }}", "{% raw %}", "a{# b #}", "yes", "012", "1e3", "null", " x", "a: b", "a #b"]
)
def test_ansible_reads_what_looks_like_a_template_or_a_number_as_it_was_answered(value: str, tmp_path: Path) -> None:
    made = draft(source={"bucket": "b", "prefix": value}, include=[value])
    read = as_ansible_reads(made, tmp_path)
    assert read["source"]["prefix"] == value
    assert read["include"] == [value]


def test_secrets_are_named_and_their_values_are_in_the_vault_alone(tmp_path: Path) -> None:
    made = draft(source=WITH_SECRET, keep_secrets=True)
    text = rendering.settings_text(made)
    assert "s3cret" not in text
    assert 'secret_key: "{{ vault_rehome_source_secret_key }}"' in text
    read = as_ansible_reads(made, tmp_path, secrets={"vault_rehome_source_secret_key": "s3cret"})
    assert read["source"]["secret_key"] == "s3cret"


def test_a_pair_that_is_exported_is_left_out_as_a_whole_and_named() -> None:
    text = rendering.settings_text(draft(source=WITH_SECRET))
    assert "AK" not in text
    assert "s3cret" not in text
    assert "  # access_key: from the environment's S3_SOURCE_ACCESS_KEY\n" in text
    assert "  # secret_key: from the environment's S3_SOURCE_SECRET_KEY\n" in text


def test_a_variable_that_rehome_would_not_read_for_this_side_is_looked_up() -> None:
    value = Exported("rehome_target.access_key", "S3_SOURCE_ACCESS_KEY", "AK")
    text = rendering.settings_text(draft(target={"bucket": "b", "prefix": "q/", "access_key": value}))
    assert """access_key: "{{ lookup('ansible.builtin.env', 'S3_SOURCE_ACCESS_KEY') }}\"""" in text


def test_further_settings_of_the_file_stay_as_they_are(tmp_path: Path) -> None:
    old = "---\n# mine\nrehome_name: old\nrehome_connections: 4 # of the DBA\n"
    old += "rehome_throttle:\n  max_lag_s: 5\n  # replicas\n"
    old += "secret: !vault |\n  $ANSIBLE_VAULT;1.1\n  6162\nrehome_include: ['*']\n"
    kept = rendering.kept_settings(old, ["rehome_name", "rehome_include"])
    assert kept[0] == "rehome_connections: 4\n"
    assert kept[1].startswith("rehome_throttle:\n  max_lag_s: 5\n")
    assert kept[2] == "secret: !vault |\n  $ANSIBLE_VAULT;1.1\n  6162\n"
    read = as_ansible_reads(draft(), tmp_path, kept[:2])
    assert (read["connections"], read["throttle"]) == (4, {"max_lag_s": 5})


@pytest.mark.parametrize("text", ["- a\n- b\n", "{a: 1}", "a: [", "a: b: c"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        rendering.kept_settings(text, [])


def test_lines_fit_into_80_columns_with_their_indent() -> None:
    lines = rendering.settings_text(draft()).splitlines()
    assert max(map(len, lines)) <= 77
