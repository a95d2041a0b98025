"""Settings of the CDK's Node process, which is started by the first test that imports it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.assembly import Assembly

# The CDK's own check of templates takes six seconds a synth; test_templates.py has cfn-lint.
os.environ["CDK_VALIDATION"] = "false"


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Every environment's templates."""
    from tests.support.assembly import synthesised  # noqa: PLC0415 - starts Node, see above

    return synthesised(tmp_path_factory.mktemp("assembly"))
