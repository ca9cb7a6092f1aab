"""What people see: the block that is redrawn on a terminal, and the lines elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import BIN, ROOT, World
from tests.e2e.screen import COLORS, Screen, environment_of_a_person
from tests.e2e.test_passes import application

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("any_world", ["sqlite"], indirect=True)]

OBJECTS = 60
SLOWLY = {"rehome_objects_per_second": 12}
"""Five seconds of work."""
LONG_ENOUGH_FOR_LINES = {"rehome_objects_per_second": 3}
"""The first line may come before anything is counted, and the second ten seconds later."""
STAGE = re.compile(r"^\d\d:\d\d:\d\d UTC  ([a-z]+(?: · pass \d)?)  ", re.MULTILINE)
LINE = re.compile(r"^  copy  \d+/60 [\d.]+%  [\d,]+/s  copied=\d+  failed=0  eta \d:\d\d:\d\d", re.MULTILINE)


@pytest.fixture
def world(any_world: World) -> World:
    any_world.seed(OBJECTS)
    return any_world


@pytest.fixture
def show(world: World) -> Iterator[Callable[..., Screen]]:
    """Show a playbook in a terminal of so many columns."""
    opened: list[Screen] = []

    def start(*arguments: str, columns: int, exported: dict[str, str] | None = None, **variables: Any) -> Screen:
        command = [str(BIN / "ansible-playbook"), *world.arguments(*arguments, **variables)]
        environment = environment_of_a_person(**{"PATH": f"{BIN}:/usr/bin:/bin", **(exported or {})})
        opened.append(Screen(command, folder=ROOT, environment=environment, columns=columns))
        return opened[-1]

    yield start
    for screen in opened:
        screen.close()


def copies(text: str) -> bool:
    """Return whether a block shows a copy of which something is done."""
    return bool(re.search(r"copy · pass 1 .*\n.* \d\d/60", text))


def test_a_migration_of_three_passes_is_less_than_forty_lines_and_a_block_shows_each_stage_at_work(
    world: World, show: Callable[..., Screen], tmp_path: Path
) -> None:
    hook = Path(application(world, tmp_path, "image/avatar-77777.png"))
    tasks = json.loads(hook.read_text())
    told = [{"name": "Tell", "ansible.builtin.debug": {"msg": "the cache is purged"}}]
    hook.write_text(json.dumps([*tasks, *told, {"name": "Look", "ansible.builtin.command": "true"} | NO_CHANGE]))
    screen = show(columns=80, rehome_hooks={"after_copy": str(hook)}, **SLOWLY)

    block = screen.wait_for(lambda text: copies(text) and "whole run" in text)
    at_work = block[block.index("copy · pass 1") :]
    assert "━" in at_work and "ETA 0:00:" in at_work and "whole run about " in at_work
    assert re.search(r"\d objects/s · ", at_work)
    assert " requests in flight" in at_work
    assert COLORS.search(screen.raw)

    assert screen.wait() == 0, screen.text
    assert not screen.cursor_is_hidden
    assert "requests in flight" not in screen.text, "the block leaves nothing behind"
    assert STAGE.findall(screen.text) == [
        *("preflight", "plan · pass 1", "copy · pass 1", "plan · pass 2", "copy · pass 2", "plan · pass 3"),
        *("rewrite", "plan · pass 4", "verify"),
    ]
    assert re.search(r"copy · pass 1   60 objects copied \([\d.]+ KiB\) in [\d.]+ s", screen.text)
    assert screen.text.count("the cache is purged") == 2, "a message of the operator's tasks is shown"
    assert screen.text.count("changed  Write") == 2, "and what they changed"
    assert "Look" not in screen.text, "and nothing of a task that says nothing"
    for frame in ("TASK [", "PLAY [", "ok: [", "skipping", "fatal"):
        assert frame not in screen.text
    assert re.search(r"^recap  rehome-sandbox : .*changed=\d+", screen.text, re.MULTILINE)
    ours = [line for line in screen.lines if line not in ("changed  Write", "the cache is purged")]
    assert len(ours) < 40, f"{len(ours)} lines:\n{screen.text}"


NO_CHANGE = {"changed_when": False}


def test_two_hundred_columns_take_one_line_of_facts_and_ctrl_c_leaves_the_terminal_clean(
    world: World, show: Callable[..., Screen]
) -> None:
    screen = show(columns=200, rehome_objects_per_second=5)
    block = screen.wait_for(lambda text: copies(text) and "p99" in text)
    bar, facts = block[block.index("copy · pass 1") :].splitlines()[1:3]
    assert re.search(r"━ +\d+\.\d%  \d+/60  ETA 0:00:\d\d  whole run about 0:00:\d\d$", bar)
    assert all(fact in facts for fact in ("objects/s", "KiB", "requests in flight", "latency"))

    screen.type("\x03")
    assert screen.wait() != 0
    assert not screen.cursor_is_hidden
    assert screen.text.count("interrupted: migrate was stopped in 'copy' at ") == 1, screen.text
    assert "stopping: copy · pass 1 ends what is in flight" in screen.text
    assert "━" not in screen.text, "the block leaves nothing behind"


def test_a_window_that_is_made_narrower_meanwhile_loses_nothing(world: World, show: Callable[..., Screen]) -> None:
    screen = show(columns=120, **SLOWLY)
    screen.wait_for(copies)
    screen.resize(50)
    screen.wait_for(lambda text: "verify" in text)
    assert screen.wait() == 0
    assert STAGE.findall(screen.text)[-1] == "verify" or "UTC  verify" in screen.text


def test_a_terminal_without_animation_gets_lines_and_no_escape_sequence(
    world: World, show: Callable[..., Screen]
) -> None:
    screen = show(columns=80, exported={"TERM": "dumb", "NO_COLOR": "1"}, **LONG_ENOUGH_FOR_LINES)
    assert screen.wait() == 0, screen.text
    assert b"\x1b" not in screen.raw
    assert LINE.search(screen.raw.decode().replace("\r\n", "\n")), screen.text
    assert re.search(r"UTC  copy · pass 1$", screen.text, re.MULTILINE), "the lines stand below their stage"
    assert re.search(r"^  60 objects copied ", screen.text, re.MULTILINE)


def test_a_terminal_without_colors_and_unicode_gets_a_block_all_the_same(
    world: World, show: Callable[..., Screen]
) -> None:
    screen = show(columns=80, exported={"LANG": "C", "NO_COLOR": "1"}, **SLOWLY)
    block = screen.wait_for(lambda text: re.search(r"copy - pass 1 .*\n.* \d\d/60", text))
    assert re.search(r"^  \[#+\.+\]  \d", block, re.MULTILINE), block
    assert screen.wait() == 0, screen.text
    assert screen.raw.isascii()
    assert not COLORS.search(screen.raw)


def test_without_a_terminal_a_run_says_the_same_in_lines(world: World) -> None:
    played = world.play(**LONG_ENOUGH_FOR_LINES)
    assert played.code == 0
    assert "\x1b" not in played.output
    assert LINE.search(played.output), played.output
    assert played.output.count("UTC  copy · pass 1") == 1
    assert played.changed > 0
    again = world.play()
    assert re.search(r"^recap  rehome-sandbox : .*changed=0 .*failed=0$", again.output, re.MULTILINE), again.output


OWN = """
- name: Prepare
  hosts: localhost
  gather_facts: false
  tasks:
    - {name: Look, ansible.builtin.command: "true", changed_when: false}
    - {name: Write, ansible.builtin.command: "true", loop: [a, b]}
    - {name: Not now, ansible.builtin.command: "true", when: false}
    - {name: Tell, ansible.builtin.debug: {msg: "one\\ntwo"}}
    - {name: Show, ansible.builtin.debug: {var: playbook_dir | basename}}
    - {name: Keep it secret, ansible.builtin.command: "true", no_log: true}
    - {name: Try, ansible.builtin.fail: {msg: not yet}, ignore_errors: true}
    - name: Call
      ansible.builtin.shell: echo the reason >&2; exit 3
"""


@pytest.fixture
def own_playbook(tmp_path: Path) -> Path:
    file = tmp_path / "ops.yml"
    file.write_text(OWN)
    return file


def played_own(file: Path, *arguments: str, **exported: str) -> str:
    """Return what an operator's own playbook prints."""
    done = subprocess.run(
        [BIN / "ansible-playbook", str(file), *arguments],
        cwd=ROOT,
        env=environment_of_a_person(ANSIBLE_NOCOLOR="1", **exported),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_a_playbook_of_the_operator_s_own_is_a_line_a_task(any_world: World, own_playbook: Path) -> None:
    lines = played_own(own_playbook).splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d UTC  Prepare", lines[0])
    assert lines[1:10] == [
        "ok  Look",
        "changed  Write (a)",
        "changed  Write (b)",
        "",
        "one",
        "two",
        f"playbook_dir | basename: {own_playbook.parent.name}",
        "changed  Keep it secret",
        "ignored  Try: not yet",
    ]
    assert re.fullmatch(r"error: Call: .*non-zero return code\.?", lines[10]), "in Ansible's own words"
    assert lines[11:] == [
        "stderr:",
        "  the reason",
        f"  in {own_playbook}:13:7",
        "recap  localhost : ok=6 changed=2 skipped=1 ignored=1 failed=1",
    ]


def test_with_v_and_with_another_callback_it_is_ansible_s_own_output(any_world: World, own_playbook: Path) -> None:
    for output in (played_own(own_playbook, "-v"), played_own(own_playbook, ANSIBLE_STDOUT_CALLBACK="default")):
        assert "TASK [Look] *" in output
        assert "fatal: [localhost]: FAILED! => " in output
        assert "PLAY RECAP *" in output
        assert "recap  " not in output


def test_who_only_asks_what_would_run_is_told(any_world: World, own_playbook: Path) -> None:
    assert "Keep it secret" in played_own(own_playbook, "--list-tasks")
    assert "playbook: " in played_own(own_playbook, "--syntax-check")


def test_a_hook_that_fails_is_named_with_its_place_and_told_once(world: World, tmp_path: Path) -> None:
    hook = tmp_path / "hook.yml"
    hook.write_text("- name: Purge the cache\n  ansible.builtin.fail: {msg: it is away}\n")
    played = world.play(rehome_hooks={"before_plan": str(hook)})
    assert played.code != 0
    assert played.errors == 1, played.output
    assert f"error: Purge the cache: it is away\n  in {hook}:1:3" in played.output
