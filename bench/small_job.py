"""`python -m bench.small_job`: a small migration beside a playbook with one `ping`, which does nothing at all."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from statistics import median

from .cost import Cost, spend
from .figures import Figure
from .machine import our_versions
from .own_sandbox import OwnSandbox, environment, own_sandbox
from .rounds import alternating, ratio, spread
from .section import Section, Table, Verdict, at_most
from .suite import BenchError, run_suite, tell

ABOUT = """\
The least that a playbook costs is Ansible's own start: one play with the task `ping`, on the same host, from the same
folder and thus with the same `ansible.cfg`. Beside it, `migrate.yml` on {objects:,} objects and as many rows in a
sandbox ({db}): all of it, freshly seeded as `make demo` does, and once more, when nothing is left to do. Wall time, and
CPU (user and system) of the whole process tree, with whatever outlives the command; the servers are not in it.
{rounds} rounds by turns; medians (least … most), and a ratio is the median of the rounds' own ratios."""

PING, FRESH, NO_OP = "a playbook with one ping", "migrate.yml, all to do", "migrate.yml, nothing to do"
PING_PLAYBOOK = """\
- name: Do nothing
  hosts: sandbox
  gather_facts: false
  tasks:
    - name: Ping
      ansible.builtin.ping:
"""


def measure(quick: bool) -> Section:
    """Measure the three playbooks."""
    objects, rounds, db = (100, 1, "sqlite") if quick else (1_000, 3, "mariadb")
    costs: dict[str, list[Cost]] = {PING: [], FRESH: [], NO_OP: []}
    with own_sandbox(db) as sandbox:
        ping = sandbox.folder / "ping.yml"
        ping.write_text(PING_PLAYBOOK)
        # the first run of each fills the caches of Python and of the machine; a no-op needs a migration before it
        for name in () if quick else costs:
            _run(name, sandbox, ping, objects)
        for order in alternating(tuple(costs), rounds):
            for name in order:
                costs[name].append(_run(name, sandbox, ping, objects))
    return Section(
        title="A small job",
        about=ABOUT.format(objects=objects, db=db, rounds=rounds),
        verdicts=verdicts(costs, objects),
        tables=(
            Table(
                ("", "wall", "CPU"),
                tuple(
                    (
                        name,
                        *(spread(values, 2) + " s" for values in ([c.wall_s for c in found], [c.cpu_s for c in found])),
                    )
                    for name, found in costs.items()
                ),
            ),
        ),
        commands=("ansible-playbook ping.yml", "ansible-playbook migrate.yml -e env=sandbox"),
        versions={**our_versions(), "ansible-core": importlib.metadata.version("ansible-core")},
        figures={
            figure: median(cost.wall_s for cost in costs[name])
            for figure, name in ((Figure.SMALL_JOB_S, FRESH), (Figure.NO_OP_S, NO_OP))
        },
    )


def verdicts(costs: dict[str, list[Cost]], objects: int) -> tuple[Verdict, ...]:
    """Return the verdicts: each migration in times of the ping."""
    walls = {name: [cost.wall_s for cost in found] for name, found in costs.items()}
    cpus = {name: [cost.cpu_s for cost in found] for name, found in costs.items()}
    return tuple(
        at_most(f"{what} of {objects:,} objects, {measure}, in times of a ping's", ratio(of[name], of[PING]), bar)
        for name, what, bar in ((NO_OP, "a no-op", 3.5), (FRESH, "a migration", 5.0))
        for measure, of in (("CPU", cpus), ("wall", walls))
    )


def _run(name: str, sandbox: OwnSandbox, ping: Path, objects: int) -> Cost:
    if name == FRESH:
        sandbox.seed(objects)
    command = sandbox.command(str(ping) if name == PING else "migrate.yml")
    _, said = spend([sys.executable, "-m", "bench.whole_tree", *command], environment())
    if name != PING:
        copied = json.loads((sandbox.state / "summary.json").read_text())["objects_copied"]
        if copied != (objects if name == FRESH else 0):
            raise BenchError(f"{name} has copied {copied} objects")
    cost = Cost(**json.loads(said))
    tell(f"{name}: {cost.wall_s:.2f} s, CPU {cost.cpu_s:.2f} s")
    return cost


if __name__ == "__main__":
    sys.exit(run_suite("small_job", measure))
