"""`make schemas`: writes docs/schemas, a JSON Schema for each version of a kind and a page for each kind.

Refuses to write what breaks with a schema that is there, and models under which a body that was valid once is not any
more, which is how a new rule between fields shows: such a change needs a new version (docs/developing.md).
Exit code 0; 1 if something breaks. With `--check` nothing is written: 1 too if what is there is not of today.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from schemas.compatibility import breaks
from schemas.describing import ENTITIES, entities, index, markdown
from schemas.registry import KINDS, BodyInvalid, KindUnknown, body_bytes, json_schema

_WIDTH: Final = 120
_ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = _ROOT / "docs" / "schemas"
# Bodies that were valid when they were written there, a line each; `python -m tests.vectors.bodies` adds some.
BODIES: Final = _ROOT / "tests" / "vectors" / "bodies.jsonl"


@cache
def generated() -> Mapping[str, str]:
    """The text of each file of docs/schemas, by its name."""
    found = {f"{kind}.{version}.json": _laid_out(json_schema(kind, version)) + "\n" for kind, version in KINDS}
    # The newest version last: a page is of that one.
    pages = {f"{kind}.md": markdown(kind, version) for kind, version in sorted(KINDS)}
    return found | pages | {f"{ENTITIES}.md": entities(), "README.md": index()}


def _laid_out(value: Any, depth: int = 0) -> str:
    # What fits on a line takes one, and so does a list of codes: a change is then a line or two of a diff.
    flat = json.dumps(value, ensure_ascii=False)
    codes = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if codes or not value or not isinstance(value, dict | list) or depth + len(flat) <= _WIDTH:
        return flat
    inner = "\n" + " " * (depth + 1)
    if isinstance(value, list):
        return f"[{inner}{f',{inner}'.join(_laid_out(item, depth + 1) for item in value)}\n{' ' * depth}]"
    lines = (f"{json.dumps(name)}: {_laid_out(item, depth + 1)}" for name, item in value.items())
    return f"{{{inner}{f',{inner}'.join(lines)}\n{' ' * depth}}}"


def broken(folder: Path = FOLDER) -> Iterator[str]:
    """What breaks with the schemas in `folder`, a line each."""
    for file in sorted(folder.glob("*.json")):
        kind, version = file.stem.rsplit(".", 1)
        if (kind, int(version)) not in KINDS:
            yield f"{kind}/{version}: is gone; older nodes still send it"
            continue
        committed = json.loads(file.read_text(encoding="utf-8"))
        yield from (f"{kind}/{version}: {line}" for line in breaks(committed, json_schema(kind, int(version))))


def bodies_of(file: Path = BODIES) -> Iterator[tuple[int, str, int, dict[str, Any]]]:
    """The bodies that were valid once: number of the line, kind, version, body."""
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        line = json.loads(text)
        yield number, line["kind"], line["version"], line["body"]


def refused(file: Path = BODIES) -> Iterator[str]:
    """Which of these are not valid any more, a line each, and why."""
    for number, kind, version, body in bodies_of(file):
        try:
            body_bytes(kind, version, body)
        except (BodyInvalid, KindUnknown) as error:
            yield f"{kind}/{version}: the body in line {number} of {file.name} was valid, and is not: {error}"


def stale(folder: Path = FOLDER) -> list[str]:
    """The names of files that are not as today's kinds say, missing or left over."""
    wanted = generated()
    there = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.*")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER, bodies: Path = BODIES) -> int:
    """Writes the files or checks them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    found, wrong = stale(folder), [*broken(folder), *refused(bodies)]
    if not (asked.check or wrong):
        _write(found, folder)
    if asked.json:
        print(json.dumps({"broken": wrong, "stale": found, "written": not (asked.check or wrong)}))
    else:
        _tell(found, wrong, check=asked.check)
    return 1 if wrong or (asked.check and found) else 0


def _write(names: Sequence[str], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    texts = generated()
    for name in names:
        if name in texts:
            (folder / name).write_text(texts[name], encoding="utf-8")
        else:
            (folder / name).unlink()


def _tell(found: Sequence[str], wrong: Sequence[str], *, check: bool) -> None:
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        step = (
            "give the kind a new version and a converter; or delete schema and bodies of a version that nobody has had"
        )
        print(f"schemas: {len(wrong)} breaks [schema_broken]\nnext: {step}", file=sys.stderr)
    for name in found:
        print(f"{'stale' if check or wrong else 'written'}: docs/schemas/{name}")
    if not found:
        print("docs/schemas is as the kinds say")


if __name__ == "__main__":
    sys.exit(main())
