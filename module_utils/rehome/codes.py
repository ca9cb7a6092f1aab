"""The codes of refusals, stops, warnings and problems: one for each kind of trouble, that is, for what helps.

Each has a heading in docs/runbook.md with its number and title. A number never changes its meaning: wording is not
part of it, and a code that is no longer used stays reserved (`tests/unit/test_codes.py`).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Code(Enum):
    """The kind of a trouble. Its value is the number that people are shown (`RH-101`).

    title: what it means in a few words, as in the runbook's heading
    """

    title: str

    def __new__(cls, number: str, title: str) -> Code:
        """Return the code of this number."""
        code = object.__new__(cls)
        code._value_ = number
        code.title = title
        return code

    def __str__(self) -> str:
        return str(self.value)

    # 1xx: settings and the command line
    UNSET = "RH-101", "A setting is missing"
    UNUSABLE_VALUE = "RH-102", "A setting has a value that cannot be used"
    CONTRADICTION = "RH-103", "Settings contradict each other"
    PLACES_OVERLAP = "RH-104", "Source and target are not two places"
    WRONG_REFERENCE = "RH-105", "A reference cannot be used as it is written"
    EXPORTED = "RH-106", "A variable of the shell or of the job cannot be used"
    UNKNOWN_VARIABLE = "RH-107", "A variable is unknown and would be ignored"
    NO_ENVIRONMENT = "RH-108", "The environment is not set up"
    IN_PART = "RH-109", "The command line would leave out stages"
    WRONG_PYTHON = "RH-110", "The Python of the modules lacks something"
    UNCONFIRMED = "RH-111", "A deletion is not confirmed"
    KEYS_FILE = "RH-112", "The file of keys cannot be used"
    NO_FORK = "RH-113", "The machine has no memory or processes to spare"

    # 2xx: buckets and objects
    NO_BUCKET = "RH-201", "There is no such bucket"
    S3_DENIED = "RH-202", "A right on a bucket is missing"
    S3_CREDENTIALS = "RH-203", "The S3 service does not accept the credentials"
    NO_S3_CREDENTIALS = "RH-204", "There are no credentials for a bucket"
    S3_UNREACHABLE = "RH-205", "The S3 service cannot be reached"
    S3_ADDRESS = "RH-206", "The address is not that of an S3 service"
    PROXY = "RH-207", "The proxy cannot be used"
    S3_CERTIFICATE = "RH-208", "The certificate of the S3 service is not trusted"
    CLOCK = "RH-209", "The clock of this machine is wrong"
    REGION = "RH-210", "The region is not that of the bucket"
    S3_ANSWERED = "RH-211", "The S3 service refuses or fails"
    S3_LACKS = "RH-212", "The S3 service lacks what a setting asks for"
    S3_DETOUR = "RH-213", "The S3 service does less, or was not tried as a whole"
    BUCKET_REACTS = "RH-214", "The bucket's configuration reacts to the copies"
    COPIES_EXPIRE = "RH-215", "A lifecycle rule would delete the copies"
    BUCKET_ACLS = "RH-216", "The target bucket takes no ACLs"
    INVENTORY = "RH-217", "The inventory cannot be used"
    NO_WAY_BACK = "RH-218", "What is deleted could not be brought back"
    UNCONDITIONAL_DELETE = "RH-219", "The S3 service cannot delete under a condition"
    TOO_EARLY = "RH-220", "It is too early to retire"

    # 3xx: the database and its rows
    DATABASE_UNREACHABLE = "RH-301", "No database server answers as one"
    DATABASE_LOGIN = "RH-302", "The database server does not let the user in"
    DATABASE_TLS = "RH-303", "The connection to the database cannot be secured"
    TOO_FEW_CONNECTIONS = "RH-304", "The database server limits connections or statements"
    POOLED = "RH-305", "A pooler or a proxy stands before the database"
    SESSION = "RH-306", "The database session is not as it has to be"
    DATABASE_READ_ONLY = "RH-307", "The database server takes no writes"
    UNSUITABLE_SERVER = "RH-308", "The database server cannot be used as it is"
    NO_TABLE = "RH-309", "There is no such table or column"
    UNSUITABLE_TABLE = "RH-310", "The table cannot be rewritten safely"
    FOREIGN_KEY = "RH-311", "A foreign key refers to the column"
    NO_INDEX = "RH-312", "The server would read the whole table"
    DATABASE_DENIED = "RH-313", "A right on the database is missing"
    TABLE_INTERFERES = "RH-314", "Something of the table interferes with the rewrite"
    VALUES_DO_NOT_FIT = "RH-315", "The column cannot hold the new values"
    TRIAL_REFUSED = "RH-316", "The server refuses what a run would do"
    JOURNAL_UNUSABLE = "RH-317", "The journal cannot be used"
    JOURNAL_OF_OTHERS = "RH-318", "The journal holds changes of other settings"
    JOURNAL_DAMAGED = "RH-319", "An entry of the journal is damaged"
    SIGNAL_UNREADABLE = "RH-320", "A signal of the throttle cannot be read"
    SERVER_PAYS = "RH-321", "The rewrite costs the database server something"
    OLD_VALUES_ELSEWHERE = "RH-322", "Something else keeps the old values"
    TABLE_REACTS = "RH-323", "The table reacts to each rewritten row"

    # 4xx: locks, the state folder, this machine
    FOLDER_LOCKED = "RH-401", "Another run has locked the state folder"
    MIGRATION_LOCKED = "RH-402", "Another run of this migration is at work in the database"
    STATE_FOLDER = "RH-403", "The state folder cannot be used"
    STATE_FILE = "RH-404", "A file of the state folder is damaged"
    DISK_SPACE = "RH-405", "There is little space on the disk"
    STATE_IS_LOST = "RH-406", "The state would be lost with the job"
    STATE_URI = "RH-407", "The state cannot be kept in the bucket"
    OTHER_RUN = "RH-408", "The state folder is not of this run"

    # 5xx: stops in the middle
    INTERRUPTED = "RH-501", "The run was interrupted"
    COPY_STOPPED = "RH-502", "The copy cannot go on"
    CREDENTIALS_EXPIRED = "RH-503", "The credentials have expired"
    SERVICE_GONE = "RH-504", "The S3 service does not answer any more"
    DATABASE_LOST = "RH-505", "The connection to the database was lost"
    LOCK_LOST = "RH-506", "Another run has taken the lock"
    ROWS_LOCKED = "RH-507", "Another session locks the rows"
    DATABASE_ANSWERED = "RH-508", "The database server refuses a statement"
    PAUSED_TOO_LONG = "RH-509", "The throttle has paused for too long"
    DELETE_STOPPED = "RH-510", "Deleting cannot go on"
    RESTORE_STOPPED = "RH-511", "Archived objects cannot be restored"
    HOOK_FAILED = "RH-512", "A task of your own has failed"
    UNEXPECTED = "RH-599", "An error that nobody expected"

    # 6xx: what is left
    OBJECTS_LEFT = "RH-601", "Objects are not in the target yet"
    OBJECTS_FAILED = "RH-602", "Objects could not be copied"
    OBJECTS_CHANGED = "RH-603", "Objects changed while they were copied"
    CONFLICT = "RH-604", "Target keys are taken by other content"
    DANGLING = "RH-605", "Rows name objects that exist nowhere"
    ARCHIVED = "RH-606", "Objects are archived"
    UNROUTABLE = "RH-607", "Objects have no legal target key"
    ROWS_LEFT = "RH-608", "Rows still hold the old value"
    ROWS_REFUSED = "RH-609", "The server refuses rows"
    OTHER_FORMS = "RH-610", "Rows hold keys in a form that no reference names"
    ROWS_WRONG = "RH-611", "Rewritten rows do not hold what they should"
    OBJECTS_DIFFER = "RH-612", "Objects differ from their source"
    ROWS_KEPT = "RH-613", "Rows cannot be rolled back"
    NOTHING_TO_UNDO = "RH-614", "There is nothing to undo"
    OBJECTS_KEPT = "RH-615", "Objects could not be deleted"
    NOT_BROUGHT_BACK = "RH-616", "Objects were not brought back"
    DELETED_BUT_NAMED = "RH-617", "Rows name objects that were deleted"
    COPIES_EXPECTED = "RH-618", "Copies that a run had begun may still be made"
    NOTHING_SELECTED = "RH-620", "Nothing is under the map"

    # 70x the terminal, 71x report and show, 72x control, 73x discover, 74x the plan, 75x init, 76x the cluster
    NO_RUN = "RH-711", "The state folder has no run yet"
    REPORT_UNREADABLE = "RH-712", "What a run has left cannot be read"
    UNKNOWN_CLASS = "RH-713", "There is no such class"
    REPORT_LACKING = "RH-714", "A report could not be written"
    CRITICAL = "RH-720", "A critical limit has ended the run"
    NOTHING_RUNS = "RH-721", "Nothing is at work that could be controlled"
    ORDER_UNUSABLE = "RH-722", "What is asked of a run cannot be followed"
    DOOR_SHUT = "RH-723", "A run cannot be reached to control it"
    STILL_PAUSED = "RH-724", "A pause that was asked for earlier is in force"
    METRICS = "RH-725", "The metrics cannot be written"
    UNKNOWN_COLUMN = "RH-731", "A column names objects and is no reference"
    NOT_DISCOVERED = "RH-732", "Nobody has looked for columns that name the objects"
    NOTHING_TELLS_NAMES = "RH-733", "Nothing tells the names of objects from other texts"
    PLAN_DIFFERS = "RH-741", "The plan is not the one that was approved"
    PLAN_OF_OTHERS = "RH-742", "The approved plan was made for other settings"
    PLAN_UNCLEAR = "RH-743", "The digest does not name one plan"

    UNANSWERED = "RH-751", "Answers are missing, and nobody can be asked"
    NOT_WRITABLE = "RH-752", "The inventory cannot take the environment"
    VAULT_FILE = "RH-753", "The vault's file cannot be used"

    CLUSTER_UNREACHABLE = "RH-761", "The cluster cannot be reached"
    CLUSTER_CERTIFICATE = "RH-762", "A certificate of the cluster is not accepted"
    CLUSTER_ENGINE = "RH-763", "A worker has another engine"
    CLUSTER_WORKERS = "RH-764", "The cluster has no worker"
    CLUSTER_LOST = "RH-765", "The cluster was lost"

    # 8xx: redirects and grants
    WEBSITE = "RH-802", "The bucket's website cannot be configured"
    REDIRECT_TOO_WIDE = "RH-803", "The redirects cannot tell the keys apart"
    NOT_ADMINISTRATOR = "RH-811", "An administrator's credentials are needed"
    NO_IAM = "RH-812", "The service has no such principals or policies"
    FOREIGN_USER = "RH-813", "A user is used by somebody else, too"
    SECRET_LOST = "RH-814", "A secret is not in the file of secrets"
    SECRETS_FILE = "RH-815", "The file of secrets cannot be used"
    GRANTS_STOPPED = "RH-816", "Grants stopped half-way"

    # 9xx: AWX, the installation, and the launch of a cluster
    AWX_SETTINGS = "RH-901", "The settings of AWX cannot be used"
    AWX_REFUSES = "RH-902", "AWX does not let the playbook work"
    AWX_LACKS = "RH-903", "AWX lacks something that its items need"
    AWX_STOPPED = "RH-904", "AWX refused an item"
    NOT_INSTALLED = "RH-911", "Something is not installed"
    CLUSTER = "RH-921", "The cluster does not come up, or does not go away"
    LAUNCH_REFUSED = "RH-922", "The service that runs the cluster refuses"
    MACHINE_UNREACHABLE = "RH-923", "A machine of the cluster is not reached"


_MARK: Final = re.compile(r" \[(RH-\d{3})\]")


def marked(text: str, code: Code | None) -> str:
    """Return the text with the code at its end, and without those of the texts that it quotes."""
    return unmarked(text) if code is None else f"{unmarked(text)} [{code}]"


def unmarked(text: str) -> str:
    """Return the text without codes, to quote it in another one."""
    return _MARK.sub("", text)


def codes_in(*texts: str) -> list[str]:
    """Return the codes that these texts show, each once, in their order."""
    return list(dict.fromkeys(number for text in texts for number in _MARK.findall(text)))
