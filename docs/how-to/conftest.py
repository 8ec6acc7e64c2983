"""A page is skipped where the package it is about is not installed."""

import pytest

PACKAGES = {"lightning": "lightning.pytorch", "fastai": "fastai.basics"}


@pytest.fixture(autouse=True)
def the_package_of_the_page(request):
    """Skip with the reason."""
    subject = request.node.path.stem.removeprefix("train-")
    if subject != "pytorch":
        package = PACKAGES.get(subject, subject)
        pytest.importorskip(package, reason=f"needs {subject}: make test-integrations has it")
