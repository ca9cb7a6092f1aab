"""Each refusal, stop, warning and problem has a code; each code has a heading in the runbook, and keeps its meaning."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rehome
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rehome.ansible_module.run import _codes_of
from rehome.checks import Check, as_dicts, as_table, stop, unknown, warn
from rehome.codes import Code, codes_in, marked, unmarked
from rehome.db.dialect import ConnectionLostError, MissingRightError, RetryableError
from rehome.errors import Finding, RefusedError, RehomeError
from rehome.s3.errors import S3StopError

from tests.unit.test_docs import anchors_of

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "runbook.md"
SOURCES = [
    path for folder in ("module_utils/rehome", "library", "interview") for path in sorted((ROOT / folder).rglob("*.py"))
]
PLUGINS = [
    path
    for folder in ("plugin_utils", "action_plugins", "callback_plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.is_symlink()
]
TASKS = sorted((ROOT / "roles").glob("*/tasks/*.yml"))
TOLD = ROOT / "roles" / "environment" / "vars" / "main.yml"
"""What the one task that checks the environment may say."""

MEANINGS = {
    "RH-101": "A setting is missing",
    "RH-102": "A setting has a value that cannot be used",
    "RH-103": "Settings contradict each other",
    "RH-104": "Source and target are not two places",
    "RH-105": "A reference cannot be used as it is written",
    "RH-106": "A variable of the shell or of the job cannot be used",
    "RH-107": "A variable is unknown and would be ignored",
    "RH-108": "The environment is not set up",
    "RH-109": "The command line would leave out stages",
    "RH-110": "The Python of the modules lacks something",
    "RH-111": "A deletion is not confirmed",
    "RH-112": "The file of keys cannot be used",
    "RH-113": "The machine has no memory or processes to spare",
    "RH-201": "There is no such bucket",
    "RH-202": "A right on a bucket is missing",
    "RH-203": "The S3 service does not accept the credentials",
    "RH-204": "There are no credentials for a bucket",
    "RH-205": "The S3 service cannot be reached",
    "RH-206": "The address is not that of an S3 service",
    "RH-207": "The proxy cannot be used",
    "RH-208": "The certificate of the S3 service is not trusted",
    "RH-209": "The clock of this machine is wrong",
    "RH-210": "The region is not that of the bucket",
    "RH-211": "The S3 service refuses or fails",
    "RH-212": "The S3 service lacks what a setting asks for",
    "RH-213": "The S3 service does less, or was not tried as a whole",
    "RH-214": "The bucket's configuration reacts to the copies",
    "RH-215": "A lifecycle rule would delete the copies",
    "RH-216": "The target bucket takes no ACLs",
    "RH-217": "The inventory cannot be used",
    "RH-218": "What is deleted could not be brought back",
    "RH-219": "The S3 service cannot delete under a condition",
    "RH-220": "It is too early to retire",
    "RH-301": "No database server answers as one",
    "RH-302": "The database server does not let the user in",
    "RH-303": "The connection to the database cannot be secured",
    "RH-304": "The database server limits connections or statements",
    "RH-305": "A pooler or a proxy stands before the database",
    "RH-306": "The database session is not as it has to be",
    "RH-307": "The database server takes no writes",
    "RH-308": "The database server cannot be used as it is",
    "RH-309": "There is no such table or column",
    "RH-310": "The table cannot be rewritten safely",
    "RH-311": "A foreign key refers to the column",
    "RH-312": "The server would read the whole table",
    "RH-313": "A right on the database is missing",
    "RH-314": "Something of the table interferes with the rewrite",
    "RH-315": "The column cannot hold the new values",
    "RH-316": "The server refuses what a run would do",
    "RH-317": "The journal cannot be used",
    "RH-318": "The journal holds changes of other settings",
    "RH-319": "An entry of the journal is damaged",
    "RH-320": "A signal of the throttle cannot be read",
    "RH-321": "The rewrite costs the database server something",
    "RH-322": "Something else keeps the old values",
    "RH-323": "The table reacts to each rewritten row",
    "RH-401": "Another run has locked the state folder",
    "RH-402": "Another run of this migration is at work in the database",
    "RH-403": "The state folder cannot be used",
    "RH-404": "A file of the state folder is damaged",
    "RH-405": "There is little space on the disk",
    "RH-406": "The state would be lost with the job",
    "RH-407": "The state cannot be kept in the bucket",
    "RH-408": "The state folder is not of this run",
    "RH-501": "The run was interrupted",
    "RH-502": "The copy cannot go on",
    "RH-503": "The credentials have expired",
    "RH-504": "The S3 service does not answer any more",
    "RH-505": "The connection to the database was lost",
    "RH-506": "Another run has taken the lock",
    "RH-507": "Another session locks the rows",
    "RH-508": "The database server refuses a statement",
    "RH-509": "The throttle has paused for too long",
    "RH-510": "Deleting cannot go on",
    "RH-511": "Archived objects cannot be restored",
    "RH-512": "A task of your own has failed",
    "RH-599": "An error that nobody expected",
    "RH-601": "Objects are not in the target yet",
    "RH-602": "Objects could not be copied",
    "RH-603": "Objects changed while they were copied",
    "RH-604": "Target keys are taken by other content",
    "RH-605": "Rows name objects that exist nowhere",
    "RH-606": "Objects are archived",
    "RH-607": "Objects have no legal target key",
    "RH-608": "Rows still hold the old value",
    "RH-609": "The server refuses rows",
    "RH-610": "Rows hold keys in a form that no reference names",
    "RH-611": "Rewritten rows do not hold what they should",
    "RH-612": "Objects differ from their source",
    "RH-613": "Rows cannot be rolled back",
    "RH-614": "There is nothing to undo",
    "RH-615": "Objects could not be deleted",
    "RH-616": "Objects were not brought back",
    "RH-617": "Rows name objects that were deleted",
    "RH-618": "Copies that a run had begun may still be made",
    "RH-620": "Nothing is under the map",
    "RH-711": "The state folder has no run yet",
    "RH-712": "What a run has left cannot be read",
    "RH-713": "There is no such class",
    "RH-714": "A report could not be written",
    "RH-720": "A critical limit has ended the run",
    "RH-721": "Nothing is at work that could be controlled",
    "RH-722": "What is asked of a run cannot be followed",
    "RH-723": "A run cannot be reached to control it",
    "RH-724": "A pause that was asked for earlier is in force",
    "RH-725": "The metrics cannot be written",
    "RH-731": "A column names objects and is no reference",
    "RH-732": "Nobody has looked for columns that name the objects",
    "RH-733": "Nothing tells the names of objects from other texts",
    "RH-741": "The plan is not the one that was approved",
    "RH-742": "The approved plan was made for other settings",
    "RH-743": "The digest does not name one plan",
    "RH-751": "Answers are missing, and nobody can be asked",
    "RH-752": "The inventory cannot take the environment",
    "RH-753": "The vault's file cannot be used",
    "RH-761": "The cluster cannot be reached",
    "RH-762": "A certificate of the cluster is not accepted",
    "RH-763": "A worker has another engine",
    "RH-764": "The cluster has no worker",
    "RH-765": "The cluster was lost",
    "RH-802": "The bucket's website cannot be configured",
    "RH-803": "The redirects cannot tell the keys apart",
    "RH-811": "An administrator's credentials are needed",
    "RH-812": "The service has no such principals or policies",
    "RH-813": "A user is used by somebody else, too",
    "RH-814": "A secret is not in the file of secrets",
    "RH-815": "The file of secrets cannot be used",
    "RH-816": "Grants stopped half-way",
    "RH-901": "The settings of AWX cannot be used",
    "RH-902": "AWX does not let the playbook work",
    "RH-903": "AWX lacks something that its items need",
    "RH-904": "AWX refused an item",
    "RH-911": "Something is not installed",
    "RH-921": "The cluster does not come up, or does not go away",
    "RH-922": "The service that runs the cluster refuses",
    "RH-923": "A machine of the cluster is not reached",
}
"""Every number that was ever given away, with its meaning. Add yours at its place; never change or remove one.

A code that is no longer used stays here, under `RETIRED`, so that its number is not given away again.
"""

RETIRED: frozenset[str] = frozenset()
"""Numbers that no message has any more."""

WITH_MESSAGES_OF_OTHERS = ("refusal", "problems", "environment_fault", "awx_wrong", "awx_may_not", "_said if ")
"""What a task's message repeats, and what has codes of its own."""

OF_NO_TROUBLE = "module_utils/rehome/preflight/column.py"
"""Where a check takes its status as an argument that can only be `pass` or `info`, by its type."""


# The codes and their headings


def test_no_number_changes_its_meaning_or_is_given_away_twice() -> None:
    assert {str(code): code.title for code in Code} == {
        number: title for number, title in MEANINGS.items() if number not in RETIRED
    }
    assert MEANINGS.keys() >= RETIRED
    assert list(MEANINGS) == sorted(MEANINGS)
    assert all(re.fullmatch(r"RH-[1-9]\d\d", number) for number in MEANINGS)


def test_each_code_has_one_heading_with_its_title_and_each_heading_a_code() -> None:
    headings = re.findall(r"^### (RH-\d+) (.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings == [(str(code), code.title) for code in Code]


def test_each_heading_of_the_runbook_has_an_anchor_of_its_own() -> None:
    assert [anchor for anchor, count in Counter(anchors_of(RUNBOOK)).items() if count > 1] == []


def test_each_heading_of_a_code_says_what_it_means_and_what_to_do() -> None:
    sections = re.split(r"^#+ ", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    told = {section.partition("\n")[0][:6]: section.partition("\n")[2].split() for section in sections}
    assert [str(code) for code in Code if len(told[str(code)]) < 12] == []


def test_each_code_is_in_use() -> None:
    named = {name for path in SOURCES if path.name != "codes.py" for name in _names_of_codes(path)}
    written = {number for path in [*PLUGINS, *TASKS, TOLD] for number in re.findall(r"RH-\d{3}", path.read_text())}
    unused = {str(code) for code in Code if code.name not in named and str(code) not in written}
    assert unused == set()
    assert written <= {str(code) for code in Code}


def _names_of_codes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code":
            yield node.attr


# The sites


def _calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _gives_code(call: ast.Call, position: int | None = None) -> bool:
    by_place = position is not None and (
        len(call.args) > position or any(isinstance(a, ast.Starred) for a in call.args)
    )
    return by_place or any(keyword.arg == "code" for keyword in call.keywords)


def test_each_finding_refusal_and_error_names_its_code() -> None:
    found = [where for where, call in _calls("Finding", "RefusedError.of") if not _gives_code(call, 4)]
    found += [where for where, call in _calls("RehomeError", "warn") if not _gives_code(call)]
    assert found == []


def test_a_check_that_may_warn_or_stop_names_its_code() -> None:
    """`warn` and `stop` ask for one. A check whose status is computed has to give it, too."""
    for where, call in _calls("Check"):
        said = {node.value for node in ast.walk(call.args[2]) if isinstance(node, ast.Constant)}
        harmless = bool(said & {"pass", "info"}) and not said & {"warn", "stop"}
        assert harmless or _gives_code(call, 7) or where.startswith(OF_NO_TROUBLE), where


def test_each_kind_of_error_has_a_code_of_its_own_or_takes_one() -> None:
    for module in pkgutil.walk_packages(rehome.__path__, "rehome."):
        importlib.import_module(module.name)
    kinds = list(_kinds(RehomeError))
    assert len(kinds) > 12
    without = [kind.__name__ for kind in kinds if kind.trouble is None]
    # the first has findings; the others look at S3's code
    assert sorted(without) == ["RefusedError", "S3Error", "S3RequestError", "S3StopError"]


def _kinds(of: type[RehomeError]) -> Iterator[type[RehomeError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from _kinds(kind)


def test_each_message_of_a_role_that_ends_a_run_ends_with_a_code() -> None:
    messages = [(path, text) for path in TASKS for text in _messages(yaml.safe_load(path.read_text()))]
    told = [(TOLD, text) for name, text in yaml.safe_load(TOLD.read_text()).items() if name.endswith("_told")]
    assert len(told) == 6
    messages += told
    assert len(messages) > 15
    for path, text in messages:
        ends = re.search(r"\[(RH-\d{3}|\{\{.*'RH-\d{3}'.*\}\})\]\s*\"?$", text.strip(), flags=re.DOTALL)
        assert ends or any(name in text for name in WITH_MESSAGES_OF_OTHERS), f"{path}: {text}"


def _messages(tasks: Any) -> Iterator[str]:
    for task in tasks or []:
        for part in ("block", "rescue", "always"):
            yield from _messages(task.get(part))
        if "ansible.builtin.assert" in task:
            yield task["ansible.builtin.assert"]["fail_msg"]
        if "ansible.builtin.fail" in task:
            yield task["ansible.builtin.fail"]["msg"]


def test_each_refusal_of_an_action_plugin_ends_with_a_code() -> None:
    for path in PLUGINS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("AnsibleError", "AnsibleActionFail"):
                assert re.search(r"\[RH-\d{3}\]['\"]$", ast.unparse(node.args[0])), f"{path}:{node.lineno}"


# How they are shown


codes = st.sampled_from(list(Code))


@given(st.text(), codes, codes)
def test_a_text_ends_with_its_code_exactly_once_whatever_it_quotes(words: str, inner: Code, outer: Code) -> None:
    text = marked(f"S3 says: {marked(unmarked(words), inner)}. Grant it", outer)
    assert text.endswith(f" [{outer}]")
    assert codes_in(text) == [str(outer)]
    assert unmarked(text) == f"S3 says: {unmarked(words)}. Grant it"


def test_findings_and_errors_end_with_their_code() -> None:
    finding = Finding("rehome_x", "y", "S3 says no. [RH-211]", "Grant it", Code.S3_DENIED)
    assert str(finding) == "rehome_x (y): S3 says no. Grant it. [RH-202]"
    assert str(RehomeError("it is gone", code=Code.NO_BUCKET)) == "it is gone [RH-201]"
    assert RefusedError([finding, finding]).told == f"{finding}\n{finding}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MissingRightError("denied", "42501"), Code.DATABASE_DENIED),
        (RetryableError.quoting("deadlock"), Code.ROWS_LOCKED),
        (S3StopError(0, "EndpointDead", "no reply", None), Code.SERVICE_GONE),
        (S3StopError(400, "ExpiredToken", "expired", None), Code.CREDENTIALS_EXPIRED),
        (S3StopError(403, "AccessDenied", "no", "a.png"), Code.S3_DENIED),
        (S3StopError(404, "NoSuchBucket", "no", None), Code.NO_BUCKET),
        (S3StopError(501, "NotImplemented", "no", "a.png"), Code.S3_ANSWERED),
    ],
)
def test_an_error_in_the_words_of_a_server_shows_its_code_only_where_it_is_told(error: RehomeError, code: Code) -> None:
    assert codes_in(str(error)) == []
    assert error.told == f"{error} [{code}]"


def test_an_error_that_quotes_a_refusal_ends_with_its_own_code() -> None:
    refusal = RefusedError.of("rehome_database.host", "db", "no server", "Wait", Code.DATABASE_UNREACHABLE)
    lost = ConnectionLostError(f"the connection was lost; the last attempt: {refusal}")
    assert codes_in(lost.told) == [str(Code.DATABASE_LOST)]


def test_a_check_shows_its_code_only_if_it_is_a_trouble() -> None:
    finding = Finding("rehome_x", None, "is wrong", "Put it right", Code.UNUSABLE_VALUE)
    checks = [
        stop("a", "b", finding),
        warn("a", "c", "costs (it says no [RH-211])", code=Code.SERVER_PAYS),
        unknown("a", "d", "S3 denies it [RH-202]"),
        Check("a", "e", "pass", "fine", code=Code.BUCKET_REACTS),
    ]
    assert [codes_in(check.found) for check in checks] == [[]] * 4
    assert [codes_in(line) for line in as_table(checks)[2:]] == [["RH-102"], ["RH-321"], [], []]
    assert [check["code"] for check in as_dicts(checks)] == ["RH-102", "RH-321", None, None]


def test_a_check_that_stops_without_a_code_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="has no code"):
        _ = Check("a", "b", "stop", "is wrong").finding


def test_the_result_of_a_module_has_the_codes_of_all_that_it_refuses_warns_of_and_leaves() -> None:
    result = {
        "refusals": ["x [RH-101]", "y [RH-102]"],
        "warnings": ["z [RH-101]"],
        "summary": {"problems": ["3 rows still hold the old value [RH-608]"]},
    }
    assert _codes_of(result) == ["RH-101", "RH-102", "RH-608"]
    assert _codes_of({"changed": False}) == []
