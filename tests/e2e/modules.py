"""Playbook runs whose modules of other collections are forked too, as rehome_fork runs Rehome's own.

To start Python and to compile what Ansible packs with a module takes many times what such a module does. Playbook,
modules, arguments, environment and results are the same as of `start_program`, which some tests use as operators do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.conftest import PLAY_TIMEOUT_S, Played
from tests.e2e.forked import Forked
from tests.e2e.surroundings import fork_modules

OF_AWS = ("boto3", "ansible_collections.amazon.aws.plugins.module_utils.modules")
"""What the modules of amazon.aws and community.aws import."""
OF_KUBERNETES = ("ansible_collections.kubernetes.core.plugins.module_utils.k8s.core", "kubernetes.dynamic")
"""What those of kubernetes.core import."""


def play_forked(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    imported: Sequence[str] = (),
    timeout_s: float = PLAY_TIMEOUT_S,
) -> Played:
    """Run `ansible-playbook` to its end in a fork, and in forks the modules that run on this machine.

    environment: all variables of the run, except Ansible's own
    imported: what many of its modules import, loaded once
    """
    with TemporaryDirectory() as folder:
        run = Forked(Path(folder), arguments, partial(fork_modules, dict(environment), tuple(imported)))
        output = run.wait(timeout_s)
        run.close()
    return Played(run.code(), output)
