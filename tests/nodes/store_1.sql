-- A node's store as version 1 wrote it, with one message that waits for another and one that waits for a roster.
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE checkpoint (
    size BIGINT NOT NULL,
    root BLOB NOT NULL,
    PRIMARY KEY (size)
);
CREATE TABLE delivery (
    id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    outcome TEXT NOT NULL,
    at BIGINT NOT NULL,
    code TEXT,
    ledger_index BIGINT NOT NULL,
    PRIMARY KEY (id, recipient)
);
CREATE TABLE inbox (
    seq INTEGER NOT NULL,
    sender TEXT NOT NULL,
    id TEXT NOT NULL,
    thread TEXT NOT NULL,
    kind TEXT NOT NULL,
    header BLOB NOT NULL,
    digest BLOB NOT NULL,
    content BLOB,
    received_at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT,
    acknowledge_at BIGINT,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (sender, id)
);
CREATE TABLE notice (
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    event TEXT NOT NULL,
    at BIGINT NOT NULL,
    ledger_index BIGINT NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (id, recipient, event)
);
CREATE TABLE outbox (
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    request BLOB NOT NULL,
    state TEXT NOT NULL,
    urgent INTEGER NOT NULL,
    header BLOB NOT NULL,
    envelope BLOB NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    queued_at BIGINT NOT NULL,
    sent_at BIGINT,
    resend_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    settled_at BIGINT,
    expires BIGINT NOT NULL,
    code TEXT,
    detail TEXT,
    ledger_index BIGINT,
    receipt BLOB,
    PRIMARY KEY (seq),
    UNIQUE (id)
);
CREATE TABLE quarantine (
    seq INTEGER NOT NULL,
    type TEXT NOT NULL,
    digest BLOB NOT NULL,
    reason TEXT NOT NULL,
    content BLOB NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (seq),
    UNIQUE (digest)
);
INSERT INTO "quarantine" VALUES(1,'envelope',X'31','after 01a20f97-e270-71d7-88d6-b834d3465199',X'6F6E65',7);
INSERT INTO "quarantine" VALUES(2,'envelope',X'32','sender_unknown',X'74776F',8);
CREATE TABLE roster (
    version INTEGER NOT NULL,
    signed BLOB NOT NULL,
    PRIMARY KEY (version)
);
CREATE INDEX outbox_digest ON outbox (digest);
CREATE INDEX outbox_waiting ON outbox (state, urgent, seq);
CREATE INDEX inbox_id ON inbox (id);
CREATE INDEX inbox_acknowledge ON inbox (acknowledge_at);
CREATE INDEX quarantine_reason ON quarantine (reason, at);
COMMIT;
