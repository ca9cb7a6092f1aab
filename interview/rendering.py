"""The text of the files of an inventory: YAML with comments, as people keep it. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from rehome.config.environment_names import ENVIRONMENT_NAMES

from .draft import Draft, Exported, Options, Secret

HEADER = """\
# Settings of {environment}, written by `make init`. Change them as you like:
# docs/settings.md describes every variable, and docs/environment.md what
# comes from the environment where it is unset.

# One name, one migration: no other on this database server may have it
"""

DECIDED = """\
# These two stop a migration before it moves anything. Decide otherwise once
# a plan has shown what there is.
# rehome_on_conflict: fail # target object differs: or skip, overwrite
# rehome_on_dangling: fail # object is nowhere: or keep, rewrite
"""

ORDER = (
    *("bucket", "prefix", "whole_bucket", "engine", "path", "host", "port", "socket", "name", "user", "password"),
    *("endpoint_url", "region", "ca_bundle", "profile", "access_key", "secret_key", "session_token", "tls"),
)
"""In which order the options of a mapping are written."""

KEPT = "# Kept from the file as it was\n"

_PLAIN_IN_FLOW = re.compile(r"[A-Za-z0-9_./-]([A-Za-z0-9_./@*+: -]*[A-Za-z0-9_./@*+-])?")
_JINJA = re.compile(r"\{\{|\{%|\{#")


def settings_text(draft: Draft, kept: Sequence[str] = ()) -> str:
    """Return the file of an environment's settings.

    kept: the text of further settings, each as the file had it
    """
    parts = [
        f"---\n{HEADER.format(environment=draft.environment)}rehome_name: {scalar(draft.name)}\n",
        _block("What moves, and where to", "rehome_source", draft.source, draft),
        _block(None, "rehome_target", draft.target, draft),
        _globs(draft),
        _database(draft),
        _references(draft),
        "\n" + DECIDED,
        *(["\n" + KEPT + "".join(kept)] if kept else []),
    ]
    return "".join(parts)


def hosts_entry(environment: str, host: str) -> str:
    """Return the lines of an inventory that name an environment and its host."""
    return f"{environment}:\n  hosts:\n    {host}:\n"


def hosts_text(environment: str, host: str) -> str:
    """Return a new inventory with one environment."""
    return (
        "---\n# One group with one host for each environment. The work is done where the\n# playbook runs.\n"
        "all:\n  vars:\n    ansible_connection: local\n"
        '    ansible_python_interpreter: "{{ ansible_playbook_python }}"\n' + hosts_entry(environment, host)
    )


def scalar(value: object) -> str:
    """Return a value in one line of YAML, as Ansible reads it: what looks like a template is not one."""
    text = yaml.safe_dump(value, default_flow_style=True, width=sys.maxsize, allow_unicode=True)
    text = text.removesuffix("\n").removesuffix("\n...")
    if not isinstance(value, str):
        return text
    if not value.isprintable():
        # YAML's line ends and Python's are not the same: all of it escaped, none of them is one
        text = yaml.safe_dump(value, default_style='"', width=sys.maxsize).rstrip("\n")
        return f"!unsafe {text}" if _JINJA.search(value) else text
    if _JINJA.search(value):
        return f"!unsafe {_double(value)}"
    return text


def _flow(value: object) -> str:
    """Return a value with its mappings and lists in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _in_flow(scalar(value))


def _in_flow(text: str) -> str:
    """Return a scalar as it may stand in a flow mapping."""
    if text[:1] in ("'", '"', "!") or _PLAIN_IN_FLOW.fullmatch(text):
        return text
    return _double(text)


def _block(comment: str | None, name: str, options: Options, draft: Draft) -> str:
    lines = list(_lines(options, draft))
    if not any(not line.startswith("#") for line in lines):
        return f"\n# {comment}\n" * bool(comment) + f"{name}: {{}}\n" + "".join(f"# {line[2:]}\n" for line in lines)
    heading = f"\n# {comment}\n" if comment else ""
    return f"{heading}{name}:\n" + "".join(f"  {line}\n" for line in lines)


def _lines(options: Options, draft: Draft) -> Iterator[str]:
    unset: dict[str, str] = {}
    # a pair of keys is of one place: where the secret is exported, so is its key
    typed_pair = isinstance(options.get("secret_key"), Secret) and not draft.keep_secrets
    for name, value in sorted(options.items(), key=lambda one: ORDER.index(one[0])):
        if value is None:
            continue
        if isinstance(value, Exported):
            if value.is_read_by_itself:
                unset[name] = value.variable
            else:
                yield f"{name}: \"{{{{ lookup('ansible.builtin.env', '{value.variable}') }}}}\""
        elif isinstance(value, Secret):
            if draft.keep_secrets:
                yield f'{name}: "{{{{ {value.vault_variable} }}}}"'
            else:
                unset[name] = variable_of(value.setting)
        elif name == "access_key" and typed_pair:
            unset[name] = variable_of(f"{_setting_of(options)}.access_key")
        else:
            yield f"{name}: {_flow(value)}"
    for name, variable in unset.items():
        yield f"# {name}: from the environment's {variable}"


def _setting_of(options: Options) -> str:
    secret = options["secret_key"]
    return str(secret.setting).rpartition(".")[0]


def variable_of(setting: str) -> str:
    """Return the variable to export a setting by."""
    return ENVIRONMENT_NAMES[setting][0]


def _globs(draft: Draft) -> str:
    text = f"# Globs on the key after the source's prefix\nrehome_include: {_quoted(draft.include)}\n"
    return text + (f"rehome_exclude: {_quoted(draft.exclude)}\n" if draft.exclude else "")


def _quoted(texts: Sequence[str]) -> str:
    """Return texts as people write globs: in quotes, as YAML takes a star for more than it is."""
    return (
        "["
        + ", ".join(_double(text) if text.isprintable() and not _JINJA.search(text) else scalar(text) for text in texts)
        + "]"
    )


def _double(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', width=sys.maxsize, allow_unicode=True).rstrip("\n")


def _database(draft: Draft) -> str:
    comment = "The database, and the columns whose values name the objects"
    if draft.exported_database:
        return f"\n# {comment}. The database is that of {draft.exported_database}.\n"
    return _block(comment, "rehome_database", draft.database, draft)


def _references(draft: Draft) -> str:
    return "rehome_references:\n" + "".join(f"  - {_flow(reference)}\n" for reference in draft.references)


def kept_settings(text: str, written: Sequence[str]) -> list[str]:
    """Return the settings of an existing file that are not `written` anew, each as it stands there.

    Raises ValueError if the text is no YAML mapping.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML ({' '.join(str(error).split())})") from error
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise ValueError("is no mapping of variables, one a line")
    kept = []
    for key, value in node.value:
        if key.value in written:
            continue
        end = value.end_mark.index
        piece = text[key.start_mark.index : end].rstrip()
        kept.append(piece + "\n")
    return kept


def written_settings(text: str) -> Mapping[str, Any]:
    """Return the plain values of an existing file, without those that need Ansible to read them. Never raises."""
    try:
        found = yaml.load(text, Loader=_Lenient)  # noqa: S506 - a safe loader, which skips the tags of Ansible
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


class _Lenient(yaml.SafeLoader):
    """Reads Ansible's own tags as nothing."""


_Lenient.add_multi_constructor("!", lambda *_: None)
