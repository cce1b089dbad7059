"""What the tests of doors share."""

import pytest
from support import clean_environment

import vector


@pytest.fixture
def opened(project, monkeypatch):
    """The door to the built and embedded copy, whose folder is the working directory."""
    monkeypatch.chdir(project.folder)
    with clean_environment(), vector.open() as warehouse:
        yield warehouse
