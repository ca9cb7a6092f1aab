"""Build the Ansible collection rehome.rehome: `python -m collection.build [FOLDER]` (default `build`).

The repository has the layout of a project: modules in `library/`, found by bare name through ansible.cfg. A collection
has them in `plugins/modules/`, has no ansible.cfg, and is installed where nothing should be written. So the files are
copied into a collection's layout with names fully qualified, and with paths relative to the inventory in place of
paths relative to the project.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
HERE = ROOT / "collection"
COLLECTION = "rehome.rehome"

PLUGINS = {
    "library": "modules",
    "action_plugins": "action",
    "callback_plugins": "callback",
    "plugin_utils": "plugin_utils",
    "module_utils": "module_utils",
    "doc_fragments": "doc_fragments",
}
"""The project's folder → the folder in the collection's `plugins/`."""

LEFT_OUT = (
    *("sandbox", "sandbox.yml", "awx", "awx.yml", "cluster.yml", "migrate_on_cluster.yml"),
    *("cluster", "cluster_ecs", "cluster_kubernetes", "cluster_member"),
)
"""The roles and the playbooks of the sandbox, of AWX and of a cluster's launch, which need the checkout."""

LINKS = ("roles", "library", "action_plugins")
"""The links beside the playbooks, by which Ansible finds the project's roles and modules without ansible.cfg."""

REWRITTEN = (".yml", ".py", ".j2")


def assemble(parent: Path) -> Path:
    """Write the collection's files below `parent/ansible_collections` and return their folder."""
    folder = parent / "ansible_collections" / COLLECTION.replace(".", "/")
    ignored = shutil.ignore_patterns("__pycache__", *LEFT_OUT)
    for source, kind in PLUGINS.items():
        shutil.copytree(ROOT / source, folder / "plugins" / kind, symlinks=True, ignore=ignored)
    shutil.copytree(ROOT / "roles", folder / "roles", ignore=ignored)
    shutil.copytree(ROOT / "playbooks", folder / "playbooks", ignore=shutil.ignore_patterns(*LEFT_OUT, *LINKS))
    shutil.copytree(HERE / "meta", folder / "meta")
    for path in (HERE / "galaxy.yml", HERE / "README.md", ROOT / "LICENSE", ROOT / "CHANGELOG.md"):
        shutil.copy(path, folder)
    (folder / "requirements.txt").write_text(_requirements(), encoding="utf-8")
    for path in folder.rglob("*"):
        if path.suffix in REWRITTEN and path.is_file() and not path.is_symlink():
            before = path.read_text(encoding="utf-8")
            after = qualified(before, in_playbooks=path.parent.name == "playbooks")
            if after != before:
                path.write_text(after, encoding="utf-8")
    return folder


def _requirements() -> str:
    """The Python packages, without ansible-core: who installs a collection has one already."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("ansible-core"))


def qualified(text: str, in_playbooks: bool = False) -> str:
    """Return `text` with modules, roles, playbooks and doc fragments by their full names, and with the inventory's
    paths in place of the project's.

    Modules are qualified where they begin a task, roles where they are listed, included, imported or depended on; the
    roles of a playbook may be bare list items.
    """
    modules = "|".join(path.stem for path in (ROOT / "library").glob("*.py"))
    roles = "|".join(path.name for path in (ROOT / "roles").iterdir())
    item = "- (?:role: )?" if in_playbooks else "- role: "
    for pattern, replacement in (
        (rf"^( +(?:- )?)({modules}):$", rf"\1{COLLECTION}.\2:"),
        (rf"^( +{item})({roles})$", rf"\1{COLLECTION}.\2"),
        (rf"((?:include|import)_role:\n +name: )({roles})$", rf"\1{COLLECTION}.\2"),
        (rf"(import_role: {{name: )({roles})(?=[,}}])", rf"\1{COLLECTION}.\2"),
        (r"^(  - )(rehome(?:\.[a-z]+)?)$", rf"\1{COLLECTION}.\2"),
        (r"playbooks/([a-z]+)\.yml", rf"{COLLECTION}.\1"),
        (r"(?<![\w/.-])migrate\.yml", f"{COLLECTION}.migrate"),
        (r"playbook_dir \| dirname", "inventory_dir"),
        (r"the project's root", "the inventory's folder"),
    ):
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def build(into: Path) -> Path:
    """Build the collection's tarball in the folder `into` and return its path.

    Raises subprocess.CalledProcessError if ansible-galaxy does not build it.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = assemble(Path(temporary))
        galaxy = Path(sys.executable).parent / "ansible-galaxy"
        command = [str(galaxy), "collection", "build", "--force", "--output-path", str(into.resolve())]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
        facts = yaml.safe_load((folder / "galaxy.yml").read_text(encoding="utf-8"))
    return into / f"{facts['namespace']}-{facts['name']}-{facts['version']}.tar.gz"


def main() -> None:
    """Build into the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Build the Ansible collection rehome.rehome.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build", help="where the tarball goes")
    sys.stdout.write(f"{build(parser.parse_args().folder)}\n")


if __name__ == "__main__":
    main()
