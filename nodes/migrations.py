"""The store's version, and what makes each older one the next; there is no way back."""

from pathlib import Path
from typing import Final

from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from nodes.errors import StoreVersionUnknown

# Of the tables in `store`. Tables that are new in a version are made there, too.
VERSION: Final = 11
_MIGRATIONS: Final = {
    1: (
        """ALTER TABLE quarantine ADD COLUMN "after" TEXT NOT NULL DEFAULT ''""",
        """UPDATE quarantine SET "after" = substr(reason, 7) WHERE reason > 'after ' AND reason < 'after!'""",
    ),
    2: (
        "ALTER TABLE outbox ADD COLUMN nonce BLOB",
        "ALTER TABLE delivery ADD COLUMN receipt BLOB",
        "ALTER TABLE delivery ADD COLUMN evidence BLOB",
    ),
    3: (
        "ALTER TABLE checkpoint ADD COLUMN note TEXT",
        "ALTER TABLE checkpoint ADD COLUMN standing INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE checkpoint ADD COLUMN at BIGINT NOT NULL DEFAULT 0",
        "CREATE INDEX checkpoint_claimed ON checkpoint (size) WHERE standing = 1",
        # As it was when it was new, for 6 to alter.
        "CREATE TABLE witness (one INTEGER NOT NULL PRIMARY KEY, size BIGINT NOT NULL, root BLOB NOT NULL, "
        "note TEXT NOT NULL, line TEXT, sent INTEGER NOT NULL)",
    ),
    4: (
        "ALTER TABLE inbox ADD COLUMN content_key BLOB",
        "ALTER TABLE inbox ADD COLUMN receipt BLOB",
    ),
    5: ("ALTER TABLE roster ADD COLUMN size BIGINT",),
    6: ("ALTER TABLE witness ADD COLUMN half_signed INTEGER NOT NULL DEFAULT 0",),
    # What each is about stands in its body, which is closed: `amendments.read_older` reads it. In a header, CBOR, both
    # words are a text of ten letters.
    7: (
        "CREATE TABLE amendment (id TEXT NOT NULL, sender TEXT NOT NULL, kind TEXT NOT NULL, created BIGINT NOT NULL, "
        "about TEXT, carries TEXT NOT NULL DEFAULT '', PRIMARY KEY (id, sender))",
        "CREATE INDEX amendment_about ON amendment (about)",
        "INSERT INTO amendment (sender, id, kind, created) SELECT sender, id, kind, 0 FROM inbox "
        "WHERE kind IN ('correction', 'withdrawal') AND outcome = 'delivered'",
        "INSERT INTO amendment (sender, id, kind, created) SELECT '', id, '', 0 FROM outbox WHERE "
        "instr(header, CAST('jcorrection' AS BLOB)) OR instr(header, CAST('jwithdrawal' AS BLOB))",
    ),
    8: (
        "ALTER TABLE roster ADD COLUMN leaf_index BIGINT",
        "ALTER TABLE notice ADD COLUMN roster INTEGER",
        "ALTER TABLE notice ADD COLUMN code TEXT",
        "ALTER TABLE notice ADD COLUMN heir TEXT",
    ),
    9: (
        "CREATE INDEX outbox_plan ON outbox (seq) WHERE instr(header, CAST('noperation.plan' AS BLOB)) > 0",
        "CREATE INDEX inbox_plan ON inbox (seq) WHERE kind = 'operation.plan'",
        "CREATE INDEX inbox_thread ON inbox (thread)",
    ),
    # Of a new table only.
    10: (),
}


def bring_up_to_date(connection: Connection, file: Path) -> None:
    """Alters the tables of an older version. Raises StoreVersionUnknown for one that this program does not know."""
    version = connection.exec_driver_sql("PRAGMA user_version").scalar()
    if version == 0 and not inspect(connection).get_table_names():
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
    elif version in _MIGRATIONS:
        for statement in (line for older in range(version, VERSION) for line in _MIGRATIONS[older]):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        raise StoreVersionUnknown(
            f"{file} is of version {version}, this program writes version {VERSION}",
            "use the program that made it, or a new folder; nothing was changed",
        )
