"""`make init`: at its prompts with wrong answers first, as options in a script, and what is made of its inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.e2e.conftest import ROOT, Played, World, Worlds, play_to_end, start_program
from tests.e2e.prompting import DOWN, ERASE_LINE, SPACE, Terminal, clean_environment
from tests.rejecting_proxy import RejectingProxy, Rejection, Request

pytestmark = pytest.mark.e2e

PASSWORD = "vault's pass"


@pytest.fixture(scope="module")
def seeded(worlds: Worlds) -> World:
    world = worlds.of("mariadb")
    world.seed(30)
    world.sandbox.store.client().put_object(Bucket="legacy-s3", Key="docs/readme.txt", Body=b"x")
    return world


@pytest.fixture
def ops(tmp_path: Path) -> Path:
    """The folder of an inventory that does not exist yet."""
    return tmp_path / "ops" / "inventory"


class Logins:
    """The sandbox's logins, as an operator would type them."""

    def __init__(self, world: World, user: str = "migrate") -> None:
        store, database = world.record["s3"], world.record["database"]
        self.url = str(store["endpoint_url"])
        self.access_key, self.secret_key = (str(store["users"][user][name]) for name in ("access_key", "secret_key"))
        self.port = str(database.get("port"))
        self.password = str(database["users"].get("migrate", {}).get("password"))

    @property
    def exported(self) -> dict[str, str]:
        pairs = {
            f"S3_{side}_{name}": value
            for side in ("SOURCE", "TARGET")
            for name, value in (("ACCESS_KEY", self.access_key), ("SECRET_KEY", self.secret_key))
        }
        return pairs | {"DB_PASSWD": self.password}

    def options(self, world: World, ops: Path) -> list[str]:
        """Every answer as an option, for MariaDB."""
        database = world.record["database"]
        return [
            *("--yes", "--env", "staging", "--inventory", str(ops), "--source-endpoint", self.url),
            *("--source-bucket", "legacy-s3", "--source-prefix", "image/"),
            *("--target-bucket", "production-s3", "--target-prefix", "avatar/", "--include", "avatar-*.png"),
            *("--database-engine", database["engine"], "--database-host", "127.0.0.1", "--database-port", self.port),
            *("--database-name", "app", "--database-user", "migrate", "--reference", "avatars.path"),
        ]


@pytest.fixture
def logins(seeded: World) -> Logins:
    return Logins(seeded)


def run(arguments: list[str], exported: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it as a script does, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "interview", *arguments],
        cwd=ROOT,
        env=clean_environment(**exported),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def plan(ops: Path, state: Path, *arguments: str, exported: Mapping[str, str]) -> Played:
    """Run the playbook that the last line of the interview names."""
    options = ["-i", str(ops), "-e", json.dumps({"env": "staging", "rehome_state_dir": str(state)}), *arguments]
    environment = {**clean_environment(**exported)}
    return play_to_end(
        start_program("ansible-playbook", "playbooks/plan.yml", *options, folder=ROOT, environment=environment)
    )


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def settings_of(ops: Path) -> dict[str, Any]:
    text = (ops / "group_vars" / "staging.yml").read_text()
    return yaml.safe_load(text)  # type: ignore[no-any-return]


@pytest.fixture
def terminal(seeded: World, ops: Path) -> Iterator[Terminal]:
    opened = Terminal(["--env", "staging", "--inventory", str(ops)], clean_environment())
    yield opened
    opened.kill()


def answer_source(terminal: Terminal, logins: Logins) -> None:
    terminal.answer("Service's URL", logins.url)
    terminal.answer("Region")
    terminal.choose("Credentials")
    type_keys(terminal, logins.access_key, logins.secret_key)
    terminal.choose("Bucket")
    terminal.choose("Prefix")
    terminal.choose("Which of them move")


def type_keys(terminal: Terminal, access_key: str, secret_key: str) -> None:
    terminal.answer("Access key", access_key)
    terminal.answer("Secret key", secret_key)
    terminal.answer("Session token")


def answer_target(terminal: Terminal) -> None:
    terminal.answer("Service's URL")
    terminal.answer("Region")
    terminal.choose("Credentials")
    terminal.choose("Bucket", 1)
    terminal.answer("New prefix", "avatar/", instead=True)


def answer_database(terminal: Terminal, logins: Logins) -> None:
    terminal.choose("Kind of database")
    terminal.answer("Host", "127.0.0.1")
    terminal.answer("Port", logins.port, instead=True)
    terminal.answer("Name of the database", "app")
    terminal.answer("User", "migrate")
    terminal.answer("Password", logins.password)


def answer_all(terminal: Terminal, logins: Logins) -> None:
    answer_source(terminal, logins)
    answer_target(terminal)
    answer_database(terminal, logins)
    terminal.tick("Columns to rewrite")
    terminal.answer("Name, one of a kind")


def test_wrong_answers_are_explained_and_asked_again_and_the_inventory_is_one_that_a_plan_takes(  # noqa: PLR0915 - one conversation
    seeded: World, ops: Path, logins: Logins, terminal: Terminal, tmp_path: Path
) -> None:
    before = seeded.everything()
    # the service and the credentials
    terminal.answer("Service's URL", "http://no-such-host.invalid")
    terminal.answer("Region")
    terminal.choose("Credentials")
    type_keys(terminal, "WRONG", "wrong")
    terminal.see("cannot be resolved")
    terminal.answer("Service's URL", logins.url.replace("http:", "https:"), instead=True)
    terminal.see("does not speak TLS")
    terminal.answer("Service's URL", logins.url, instead=True)
    terminal.see("does not know this access")
    terminal.choose("Credentials")
    type_keys(terminal, logins.access_key, "wrong")
    terminal.see("signature")
    terminal.choose("Credentials")
    type_keys(terminal, logins.access_key, logins.secret_key)
    # a bucket that is not there, and which these credentials may not see
    terminal.choose("Bucket", 2)
    terminal.answer("Bucket's name", "no-such-bucket")
    terminal.see("denies listing it as a whole")
    terminal.answer("Prefix", "image/")
    terminal.see("S3 denies listing image/")
    terminal.choose("What shall be another", 1)
    terminal.answer("Bucket's name", "legacy-s3", instead=True)
    # a prefix without objects, and globs that select none
    terminal.choose("Prefix", 1)
    terminal.answer("Prefix", "nothing/", instead=True)
    terminal.see("there is no object under it", "docs/, image/")
    terminal.choose("Prefix")
    terminal.choose("Which of them move", 3)
    terminal.answer("Globs on the key", "photo-*", instead=True)
    terminal.see("selects none of")
    terminal.see("Globs on the key", "match")
    terminal.press(f"{ERASE_LINE}avatar-1*")
    terminal.show("11 of 30 match")
    terminal.press(f"{ERASE_LINE}avatar-*.png\r")
    # a target that is the source, and one inside of it
    terminal.answer("Service's URL")
    terminal.answer("Region")
    terminal.choose("Credentials")
    terminal.choose("Bucket")
    terminal.answer("New prefix", "image/")
    terminal.see("is the same place as")
    terminal.answer("New prefix", "image/new/", instead=True)
    terminal.see("and rehome_source.prefix")
    terminal.answer("New prefix", "avatar", instead=True)
    terminal.answer("Is avatar/ meant")
    # the database
    terminal.choose("Kind of database")
    terminal.answer("Host", "no-such-host.invalid")
    terminal.answer("Port", "port", instead=True)
    terminal.see("is not the number of a port")
    terminal.answer("Port", logins.port, instead=True)
    terminal.answer("Name of the database", "no_such")
    terminal.answer("User", "migrate")
    terminal.answer("Password", "wrong")
    terminal.see("no database server answers")
    terminal.answer("Host", "127.0.0.1", instead=True)
    terminal.answer("Port")
    terminal.see("rehome_database.user (migrate)")
    terminal.answer("User")
    terminal.answer("Password", logins.password)
    terminal.see("has no such")
    terminal.answer("Name of the database", "app", instead=True)
    # the columns
    terminal.tick("Columns to rewrite", f"{SPACE}{DOWN}{SPACE}")
    terminal.answer("Column as table.column", "path")
    terminal.see("is not table.column")
    terminal.answer("Column as table.column", "nowhere.path")
    terminal.see("rehome_references (nowhere.path)")
    terminal.answer("Column as table.column", "avatars.path")
    terminal.see("image/avatar-", "→ avatar/avatar-")
    terminal.answer("Column as table.column (empty: no more)")
    terminal.answer("Name, one of a kind", "two words", instead=True)
    terminal.show("so it must be plain")
    terminal.answer("Name, one of a kind")
    # the secrets, and the end
    terminal.choose("Where are they kept")
    terminal.answer("New password", PASSWORD)
    terminal.answer("Once more", "another")
    terminal.see("not the same")
    terminal.answer("New password", PASSWORD)
    terminal.answer("Once more", PASSWORD)
    terminal.answer("Write this?", "y")
    assert terminal.end() == 0, terminal.text

    assert f"make plan ENV=staging INVENTORY={ops} ARGS=--ask-vault-pass" in terminal.log
    assert files(ops) == ["group_vars/staging.yml", "host_vars/rehome-staging/vault.yml", "hosts.yml"]
    settings = settings_of(ops)
    assert settings["rehome_include"] == ["avatar-*.png"]
    assert settings["rehome_references"] == [{"table": "avatars", "column": "path", "form": "key"}]
    assert (settings["rehome_target"]["bucket"], settings["rehome_target"]["prefix"]) == ("legacy-s3", "avatar/")
    vault = ops / "host_vars" / "rehome-staging" / "vault.yml"
    kept = yaml.safe_load(VaultLib([("default", VaultSecret(PASSWORD.encode()))]).decrypt(vault.read_bytes()))
    assert kept["vault_rehome_database_password"] == logins.password
    in_clear = terminal.log + "".join((ops / name).read_text() for name in files(ops))
    for secret in (logins.secret_key, logins.password, PASSWORD):
        assert secret not in in_clear
    assert vault.stat().st_mode & 0o077 == 0

    password = tmp_path / "password"
    password.write_text(PASSWORD)
    played = plan(ops, tmp_path / "state", "--vault-password-file", str(password), exported={})
    assert played.code == 0, played.output
    assert json.loads((tmp_path / "state" / "summary.json").read_text())["objects_to_copy"] == 30
    assert seeded.everything() == before


@pytest.mark.parametrize(
    "environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_that_can_do_little_is_asked_in_plain_text(
    seeded: World, ops: Path, logins: Logins, environment: dict[str, str]
) -> None:
    arguments = ["--env", "staging", "--inventory", str(ops), *([] if "TERM" in environment else ["--plain"])]
    terminal = Terminal(arguments, clean_environment(**environment))
    try:
        terminal.answer("Service's URL", logins.url)
        terminal.answer("Region [us-east-1; - for none]:")
        terminal.answer("Number [1]:")
        type_keys(terminal, logins.access_key, logins.secret_key)
        terminal.answer("Number [1]:", "nine")
        terminal.see("Write a number from 1 to 3")
        terminal.answer("Number [1]:")
        terminal.see("2. image/")
        terminal.answer("Number [2]:")
        terminal.answer("Number [1]:", "4")
        terminal.answer("Globs on the key", "avatar-2*")
        terminal.see("11 of 30 match, such as avatar-2")
        terminal.answer("Is that right?")
        for _ in range(2):
            terminal.answer("]:")
        terminal.answer("Number [1]:")
        terminal.answer("Number [1]:", "2")
        terminal.answer("New prefix", "avatar/")
        terminal.answer("Number [1]:")
        terminal.answer("Host", "127.0.0.1")
        terminal.answer("Port", logins.port)
        terminal.answer("Name of the database", "app")
        terminal.answer("User", "migrate")
        terminal.answer("Password", logins.password)
        terminal.answer("Numbers, with spaces between [1]:")
        terminal.answer("Name, one of a kind")
        terminal.answer("Number [1]:", "2")
        terminal.answer("Write this? [Y/n]:")
        assert terminal.end() == 0, terminal.text
    finally:
        terminal.kill()
    # no escape sequence at all
    assert "\x1b" not in terminal.log
    assert files(ops) == ["group_vars/staging.yml", "hosts.yml"]
    assert "Export before you go on: DB_PASSWD, S3_SOURCE_ACCESS_KEY" in terminal.text
    text = (ops / "group_vars" / "staging.yml").read_text()
    assert logins.access_key not in text
    assert "# password: from the environment's DB_PASSWD" in text


@pytest.mark.parametrize(
    "at", ["Service's URL", "Secret key", "Which of them move", "Columns to rewrite", "Write this?"]
)
def test_ctrl_c_at_any_prompt_leaves_nothing_behind(ops: Path, logins: Logins, terminal: Terminal, at: str) -> None:
    steps = {
        "Service's URL": lambda: None,
        "Secret key": lambda: (
            terminal.answer("Service's URL", logins.url),
            terminal.answer("Region"),
            terminal.choose("Credentials"),
            terminal.answer("Access key", "x"),
        ),
        "Which of them move": lambda: (
            terminal.answer("Service's URL", logins.url),
            terminal.answer("Region"),
            terminal.choose("Credentials"),
            type_keys(terminal, logins.access_key, logins.secret_key),
            terminal.choose("Bucket"),
            terminal.choose("Prefix"),
        ),
        "Columns to rewrite": lambda: (
            answer_source(terminal, logins),
            answer_target(terminal),
            answer_database(terminal, logins),
        ),
        "Write this?": lambda: (answer_all(terminal, logins), terminal.choose("Where are they kept", 1)),
    }
    steps[at]()
    terminal.see(at)
    terminal.press("\x03")
    assert terminal.end() == 130
    assert "Ended. Nothing was written." in terminal.text
    assert not ops.parent.exists()


def test_lines_fit_into_80_columns(logins: Logins) -> None:
    ops = Path("../no-such-ops")
    terminal = Terminal(["--env", "staging", "--inventory", str(ops)], clean_environment())
    try:
        answer_all(terminal, logins)
        terminal.choose("Where are they kept", 1)
        terminal.answer("Write this?", "n")
        assert terminal.end() == 0
    finally:
        terminal.kill()
    assert "Nothing was written." in terminal.text
    # a longer line goes on at the beginning of the next, in the middle of a word
    assert [line for line in terminal.lines if len(line) >= 80] == []
    assert not (ROOT / ops).exists()


def test_what_exists_is_proposed_and_the_difference_is_shown_before_it_is_replaced(
    seeded: World, ops: Path, logins: Logins
) -> None:
    made = run(logins.options(seeded, ops), logins.exported)
    assert made.returncode == 0, made.stderr
    file = ops / "group_vars" / "staging.yml"
    mine = file.read_text().replace("name: avatars-staging", "name: mine") + "rehome_connections: 3\n"
    file.write_text(mine.replace("user: migrate", "user: migrate\n  password: old-pass"))
    before = file.read_text()

    refused = run(logins.options(seeded, ops), logins.exported)
    assert refused.returncode == 1
    assert f"{file}): exists. Give --overwrite to replace it" in refused.stderr
    assert file.read_text() == before

    terminal = Terminal(["--env", "staging", "--inventory", str(ops)], clean_environment(**logins.exported))
    try:
        terminal.see("exists: what it says is proposed")
        terminal.answer("Service's URL")
        terminal.answer("Region")
        terminal.choose("Credentials")
        terminal.choose("Bucket")
        terminal.choose("Prefix")
        terminal.choose("Which of them move")
        for question in ("Service's URL", "Region"):
            terminal.answer(question)
        terminal.choose("Credentials")
        terminal.choose("Bucket")
        terminal.answer("New prefix", "pictures/", instead=True)
        terminal.choose("Kind of database")
        for question in ("Host", "Port", "Name of the database", "User"):
            terminal.answer(question)
        terminal.see("which is exported")
        terminal.tick("Columns to rewrite")
        terminal.answer("Name, one of a kind")
        terminal.see("-  prefix: avatar/", "+  prefix: pictures/")
        terminal.answer("Write this?", "y")
        assert terminal.end() == 0, terminal.text
    finally:
        terminal.kill()
    assert "old-pass" not in terminal.log
    settings = settings_of(ops)
    assert (settings["rehome_name"], settings["rehome_connections"]) == ("mine", 3)
    assert settings["rehome_target"]["prefix"] == "pictures/"
    assert "password" not in settings["rehome_database"]


def test_a_script_gives_every_answer_and_the_plan_takes_what_is_written(
    seeded: World, ops: Path, logins: Logins, tmp_path: Path
) -> None:
    made = run(logins.options(seeded, ops), logins.exported)
    assert made.returncode == 0, made.stderr
    assert made.stdout.rstrip().endswith(f"make plan ENV=staging INVENTORY={ops}")
    played = plan(ops, tmp_path / "state", exported=logins.exported)
    assert played.code == 0, played.output
    for secret in (logins.secret_key, logins.password):
        assert secret not in made.stdout + made.stderr + (ops / "group_vars" / "staging.yml").read_text()
    again = run([*logins.options(seeded, ops), "--overwrite"], logins.exported)
    assert again.returncode == 0, again.stderr
    assert "stays as it is" in again.stdout


def test_a_script_can_have_what_is_exported_kept_in_the_vaults_file(
    seeded: World, ops: Path, logins: Logins, tmp_path: Path
) -> None:
    given = [*logins.options(seeded, ops), "--secrets", "vault"]
    refused = run(given, logins.exported)
    assert "--vault-password-file: is not given" in refused.stderr
    assert not ops.exists()
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    made = run([*given, "--vault-password-file", str(password)], logins.exported)
    assert made.returncode == 0, made.stderr
    assert made.stdout.rstrip().endswith(f"make plan ENV=staging INVENTORY={ops} VAULT={password}")
    # nothing is exported now
    played = plan(ops, tmp_path / "state", "--vault-password-file", str(password), exported={})
    assert played.code == 0, played.output


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--source-bucket", "no-such-bucket", "S3 denies listing image/"),
        ("--source-prefix", "nothing/", "there is no object under it"),
        ("--include", "photo-*", "selects none of the 30 objects"),
        ("--target-bucket", "no-such-bucket", "S3 denies listing avatar/"),
        ("--database-name", "no_such", "has no such database"),
        ("--database-port", "1", "no database server answers there"),
        ("--reference", "avatars.nowhere", "rehome_references (avatars.nowhere)"),
        ("--reference", "avatars.path=nonsense", "is not a form that Rehome knows"),
        ("--name", "two words", "must be plain"),
        ("--env", "two words", "is no name of an environment"),
    ],
)
def test_a_wrong_answer_of_a_script_is_one_message_and_nothing_is_written(
    seeded: World, ops: Path, logins: Logins, option: str, value: str, said: str
) -> None:
    given = logins.options(seeded, ops)
    if option in given:
        given[given.index(option) + 1] = value
    else:
        given += [option, value]
    refused = run(given, logins.exported)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not ops.exists()


def test_without_a_terminal_every_missing_answer_is_named_in_one_message(ops: Path) -> None:
    refused = run(["--env", "staging", "--inventory", str(ops), "--source-bucket", "b"], {})
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    for name in ("--source-prefix", "--target-bucket", "--target-prefix", "--database-host", "--reference", "--yes"):
        assert name in refused.stderr
    assert not ops.exists()


def test_credentials_that_may_list_no_buckets_and_a_user_that_sees_no_table_are_asked_for_names(
    seeded: World, ops: Path, logins: Logins, terminal: Terminal
) -> None:
    def rule(request: Request) -> Rejection | None:
        return Rejection(403, "AccessDenied") if request.path == "/" else None

    for statement in (
        "CREATE USER 'blind'@'%' IDENTIFIED BY 'blind-pass'",
        "GRANT CREATE TEMPORARY TABLES ON app.* TO 'blind'@'%'",
    ):
        seeded.query(statement)
    try:
        with RejectingProxy(int(logins.url.rpartition(":")[2]), rule) as proxy:
            terminal.answer("Service's URL", f"http://127.0.0.1:{proxy.port}")
            terminal.answer("Region")
            terminal.choose("Credentials")
            type_keys(terminal, logins.access_key, logins.secret_key)
            terminal.see("may not list the buckets")
            terminal.answer("Bucket's name", "legacy-s3")
            terminal.choose("Prefix")
            terminal.choose("Which of them move")
            for question in ("Service's URL", "Region"):
                terminal.answer(question)
            terminal.choose("Credentials")
            terminal.answer("Bucket's name", "production-s3")
            terminal.answer("New prefix", "avatar/", instead=True)
            terminal.choose("Kind of database")
            terminal.answer("Host", "127.0.0.1")
            terminal.answer("Port", logins.port, instead=True)
            terminal.answer("Name of the database", "app")
            terminal.answer("User", "blind")
            terminal.answer("Password", "blind-pass")
            terminal.see("sees no column of text")
            terminal.answer("Column as table.column", "avatars.path")
            terminal.see("rehome_references (avatars.path)")
            seeded.query("GRANT SELECT, UPDATE ON app.avatars TO 'blind'@'%'")
            terminal.answer("Column as table.column", "avatars.path")
            terminal.see("→ avatar/avatar-")
            terminal.answer("Column as table.column (empty: no more)")
            terminal.answer("Name, one of a kind")
            terminal.choose("Where are they kept", 1)
            terminal.answer("Write this?", "y")
            assert terminal.end() == 0, terminal.text
        assert proxy.rejected
    finally:
        seeded.query("DROP USER 'blind'@'%'")
    assert settings_of(ops)["rehome_references"][0]["form"] == "key"


@pytest.mark.parametrize("db", ["postgresql", "sqlite"])
def test_other_databases_are_asked_for_what_they_need(worlds: Worlds, ops: Path, tmp_path: Path, db: str) -> None:
    world = worlds.of(db)
    world.seed(5)
    logins = Logins(world)
    terminal = Terminal(["--env", "staging", "--inventory", str(ops)], clean_environment(**logins.exported))
    try:
        terminal.answer("Service's URL", logins.url)
        terminal.answer("Region")
        for question in ("Credentials", "Bucket"):
            terminal.choose(question)
        terminal.choose("Prefix")
        terminal.choose("Which of them move")
        answer_target(terminal)
        if db == "sqlite":
            terminal.choose("Kind of database", 3)
            terminal.answer("The database's file", str(tmp_path / "no-such.db"))
            terminal.see("rehome_database.path")
            terminal.answer("The database's file", world.record["database"]["path"], instead=True)
        else:
            terminal.choose("Kind of database", 2)
            terminal.answer("Host", "127.0.0.1")
            terminal.answer("Port", logins.port, instead=True)
            terminal.answer("Name of the database", "no_such")
            terminal.answer("User", "migrate")
            terminal.see("has no such")
            terminal.answer("Name of the database", "app", instead=True)
        terminal.tick("Columns to rewrite")
        terminal.answer("Name, one of a kind")
        terminal.answer("Write this?", "y")
        assert terminal.end() == 0, terminal.text
    finally:
        terminal.kill()
    assert settings_of(ops)["rehome_references"] == [{"table": "avatars", "column": "path", "form": "key"}]
    played = plan(ops, tmp_path / "state", exported=logins.exported)
    assert played.code == 0, played.output


def test_make_init_is_the_same(seeded: World, ops: Path, logins: Logins) -> None:
    made = subprocess.run(
        ["make", "--no-print-directory", "init", "ENV=staging", f"INVENTORY={ops}", "ARGS=--yes"],  # noqa: S607
        cwd=ROOT,
        env=clean_environment(PATH=os.environ["PATH"]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert made.returncode != 0
    assert "these answers are missing: --source-bucket" in made.stderr
