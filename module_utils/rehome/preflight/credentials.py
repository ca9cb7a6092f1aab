"""What to tell of credentials when the settings are refused, so that both are corrected at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.read import read_sides
from ..errors import Finding
from ..s3.endpoint.botocore import missing_credentials


def findings_beside(given: Mapping[str, Any], variables: Mapping[str, str]) -> list[Finding]:
    """Return which side has no credentials. Half of a pair is a matter of the settings, which say so.

    given: a module's option `settings`
    variables: the environment's
    """
    sides = [side for side in read_sides(given, variables) if bool(side.access_key) == bool(side.secret_key)]
    return [finding for side in sides for finding in missing_credentials(side)]
