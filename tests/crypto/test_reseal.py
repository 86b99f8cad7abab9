"""Another secret for a home: wherever it is cut off, all keys open with one secret, the one that the settings name."""

from pathlib import Path

import pytest

from crypto import keyfile, reseal
from crypto.errors import WrongPassphrase
from crypto.keyfile import Secret, open_file, seal_file

FILES = {"node.key": b"one", "witness.key": b"two", "tls.key.password": b"three"}


@pytest.fixture
def secrets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Secret, Secret]:
    """The old and the new one."""
    found = []
    for name in ("old", "new"):
        path = tmp_path_factory.mktemp(name) / "secret.key"
        keyfile.generate_key_file(path)
        found.append(Secret.from_key_file(path))
    return found[0], found[1]


@pytest.fixture
def home(tmp_path: Path, secrets: tuple[Secret, Secret]) -> Path:
    """A home with three sealed files, and some that are none."""
    for name, content in FILES.items():
        seal_file(tmp_path / name, content, secrets[0])
    (tmp_path / "node.json").write_text("{}")
    (tmp_path / "node.db").write_bytes(bytes(100_000))
    (tmp_path / "folder").mkdir()
    return tmp_path


def read(home: Path, secret: Secret) -> dict[str, bytes]:
    return {name: open_file(home / name, secret) for name in FILES}


def test_all_keys_open_with_the_new_secret_and_not_with_the_old(home: Path, secrets: tuple[Secret, Secret]) -> None:
    mark = reseal.prepare(home, *secrets)
    assert read(home, secrets[0]) == FILES
    reseal.finish(home, mark)
    assert read(home, secrets[1]) == FILES
    with pytest.raises(WrongPassphrase):
        open_file(home / "node.key", secrets[0])
    assert {file.name for file in home.iterdir()} == {*FILES, "node.json", "node.db", "folder"}


def test_what_was_cut_off_before_it_was_decided_leaves_the_old_secret(
    home: Path, secrets: tuple[Secret, Secret]
) -> None:
    reseal.prepare(home, *secrets)
    # Nothing was decided: the settings name no mark.
    reseal.finish(home, None)
    assert read(home, secrets[0]) == FILES
    reseal.finish(home, reseal.prepare(home, *secrets))
    assert read(home, secrets[1]) == FILES
    assert not list(home.glob("*.anew"))


def test_what_was_cut_off_between_two_files_goes_on(home: Path, secrets: tuple[Secret, Secret]) -> None:
    mark = reseal.prepare(home, *secrets)
    (home / f"node.key.{mark}.anew").replace(home / "node.key")
    reseal.finish(home, mark)
    assert read(home, secrets[1]) == FILES


def test_a_wrong_old_secret_changes_nothing(home: Path, secrets: tuple[Secret, Secret]) -> None:
    with pytest.raises(WrongPassphrase):
        reseal.prepare(home, secrets[1], secrets[0])
    assert read(home, secrets[0]) == FILES
