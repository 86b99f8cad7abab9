"""`make demo` does what the README says, and its account is true."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.instance import REPOSITORY, discard

pytestmark = pytest.mark.system


def test_the_demo_tells_a_whole_story_and_proves_it(tmp_path: Path) -> None:
    summary_file = tmp_path / "summary.json"
    argv = [
        sys.executable,
        "-m",
        "deploy.local.demo",
        "--folder",
        str(tmp_path / "demo"),
        "--summary",
        str(summary_file),
    ]
    try:
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=400)
    finally:
        discard(tmp_path / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(summary_file.read_text())
    assert summary["ok"] is True
    assert summary["ledger"]["verified"] is True
    codes = {item["code"] for item in summary["refused"]}
    assert codes == {"sender_mismatch", "signature_invalid", "id_reused"}
    kinds = [message["kind"] for message in summary["messages"]]
    assert [kinds.count(kind) for kind in ("request", "reply", "drugs.seizure")] == [1, 1, 4]
    assert all(message["receipt_verified"] for message in summary["messages"])
    indices = [message["ledger_index"] for message in summary["messages"]]
    assert len(set(indices)) == len(indices)
    assert max(indices) < summary["ledger"]["size"]
    assert "refused   own_approval: ana would confirm it too" in done.stdout
    assert "done      by ana: rule iom-victims added" in done.stdout
    assert "heroin 124 kg" in done.stdout
