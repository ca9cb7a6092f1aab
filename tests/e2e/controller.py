"""A controller for the tests: launches the job templates and workflows that `awx/` describes, by ansible-runner.

It stands in for what AWX does around a job: surveys, injectors, artifacts that go on to the next node, approvals. What
a job itself meets is ansible-runner's, as in AWX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.e2e.conftest import ROOT
from tests.e2e.jobs import Job, start_job

ROLE = ROOT / "roles" / "awx"
REVISION = "0123456789abcdef0123456789abcdef01234567"
Named = Mapping[str, Mapping[str, Any]]
"""Items of a kind by their names."""


class Configuration:
    """What `awx/` describes, for the site that these variables describe."""

    def __init__(self, **site: Any) -> None:
        loader = DataLoader()
        files = [file for file in sorted((ROOT / "awx").glob("*.yml")) if file.name != "site.example.yml"]
        variables: dict[str, Any] = {}
        for file in [ROLE / "defaults" / "main.yml", *files]:
            variables |= loader.load_from_file(str(file), trusted_as_template=True)
        self._templar = Templar(loader, variables | site)
        self.templates = self._items("controller_templates")
        self.workflows = self._items("controller_workflows")
        self._credentials = self._items("controller_credentials")
        self._types = self._items("controller_credential_types")

    def _items(self, variable: str) -> Named:
        items = self._templar.template(self._templar.available_variables[variable])
        return {str(item["name"]): item for item in items}

    def inject(self, credential: str, inputs: Mapping[str, str], folder: Path) -> dict[str, str]:
        """Return the environment that a credential with these inputs gives a job; its files go into `folder`."""
        injectors = self._types[self._credentials[credential]["credential_type"]]["injectors"]
        jinja = ImmutableSandboxedEnvironment()
        filename: dict[str, str] = {}
        for name, template in injectors.get("file", {}).items():
            file = folder / f"{name}-{credential.replace(' ', '-')}"
            file.write_text(jinja.from_string(str(template)).render(inputs))
            file.chmod(0o600)
            filename[name.removeprefix("template.")] = str(file)
        given = {**inputs, "tower": {"filename": filename}}
        return {name: jinja.from_string(str(template)).render(given) for name, template in injectors["env"].items()}


@dataclass
class Controller:
    """Launches jobs, each in a folder of its own.

    inventory: a folder as an inventory source has it
    secrets: the inputs of each credential by its name, as somebody has entered them
    user: who launches
    read_only: whether jobs have a project that cannot be written, and no home
    """

    folder: Path
    configuration: Configuration
    inventory: Path
    secrets: Mapping[str, Mapping[str, str]]
    user: str = "ada"
    read_only: bool = False
    jobs: list[Job] = field(default_factory=list)

    def launch(self, template: str, answers: Mapping[str, Any], *, check: bool = False) -> Job:
        """Launch a job template.

        answers: to the questions of its survey
        Raises ValueError for an answer that AWX refuses.
        """
        spec = self.configuration.templates[template]["survey_spec"]["spec"]
        return self._start(template, {**survey_defaults(spec), **survey_answers(spec, answers)}, check=check)

    def _start(self, template: str, variables: Mapping[str, Any], *, check: bool) -> Job:
        found = self.configuration.templates[template]
        number = len(self.jobs) + 1
        folder = self.folder / f"job-{number}"
        (folder / "env").mkdir(parents=True, mode=0o700)
        environment: dict[str, str] = {}
        for credential in found["credentials"]:
            injected = self.configuration.inject(credential, self.secrets.get(credential, {}), folder / "env")
            assert not environment.keys() & injected.keys(), "two credentials of a job set one variable"
            environment |= injected
        job = start_job(
            folder,
            found["playbook"],
            self.inventory,
            extra_vars={**found["extra_vars"], **variables, **self._own_variables(number, template)},
            environment=environment,
            check=check or found["job_type"] == "check",
            read_only=self.read_only,
        )
        self.jobs.append(job)
        return job

    def run_workflow(
        self, workflow: str, answers: Mapping[str, Any], approve: Callable[[Mapping[str, Any]], bool]
    ) -> dict[str, Job]:
        """Run a workflow to its end, and return the job of each node that ran.

        approve: is asked at an approval node, with the artifacts so far
        """
        found = self.configuration.workflows[workflow]
        questions = found["survey_spec"]["spec"]
        given = {**survey_defaults(questions), **survey_answers(questions, answers)}
        ended: dict[str, Job] = {}
        artifacts: dict[str, Any] = {}
        for node in nodes_in_order(found["simplified_workflow_nodes"]):
            if "approval_node" in node:
                if not approve(artifacts):
                    return ended
                continue
            template = node["unified_job_template"]
            # each comes before those to its left: WorkflowJobNode.get_job_kwargs and SurveyJobTemplateMixin of AWX
            defaults = survey_defaults(self.configuration.templates[template]["survey_spec"]["spec"])
            check = node.get("job_type") == "check"
            job = self._start(template, {**defaults, **artifacts, **given}, check=check).wait()
            ended[node["identifier"]] = job
            if job.status != "successful":
                return ended
            artifacts |= job.artifacts
        return ended

    def _own_variables(self, number: int, template: str) -> dict[str, Any]:
        own = {
            "job_id": number,
            "job_launch_type": "manual",
            "job_template_name": template,
            "project_revision": REVISION,
            "user_id": 7,
            "user_name": self.user,
        }
        return {f"{product}_{name}": value for name, value in own.items() for product in ("awx", "tower")}


def survey_defaults(spec: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the extra variables of a survey that nobody has answered."""
    return {question["variable"]: question["default"] for question in spec if question.get("default") is not None}


def survey_answers(spec: Sequence[Mapping[str, Any]], answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers as extra variables. Raises ValueError for one that AWX refuses."""
    for question in spec:
        variable = question["variable"]
        if question["required"] and variable not in answers and "default" not in question:
            raise ValueError(f"'{variable}' value missing")
        if (
            variable in answers
            and question["type"] == "multiplechoice"
            and answers[variable] not in question["choices"]
        ):
            raise ValueError(f"Value {answers[variable]} for '{variable}' expected to be one of {question['choices']}.")
    return {question["variable"]: answers[question["variable"]] for question in spec if question["variable"] in answers}


def nodes_in_order(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the nodes of a workflow that is one line, from its first on."""
    by_name = {node["identifier"]: node for node in nodes}
    followers = {name for node in nodes for name in node.get("success_nodes", [])}
    (name,) = by_name.keys() - followers
    while True:
        yield by_name[name]
        following = by_name[name].get("success_nodes", [])
        if not following:
            return
        (name,) = following
