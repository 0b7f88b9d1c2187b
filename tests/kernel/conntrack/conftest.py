"""Lets these tests import the programs beside them, which also run without pytest."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _real_netfilter() -> None:
    """Skip where no network namespace can be made."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft", "conntrack"))):
        pytest.skip("needs root, ip, nft and conntrack")
