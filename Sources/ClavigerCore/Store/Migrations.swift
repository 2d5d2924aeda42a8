/// The steps that make the schema, in order. Step N brings a database from version N to N + 1. A step that has been released is
/// never edited: a change is a new step.
enum Migrations {
    /// "CLVG": SQLite's application_id, so that no other program's database is mistaken for ours.
    static let applicationID: Int64 = 0x434c_5647

    static let steps: [String] = [base, keys, access, audit, tokens, deletions, names]

    /// Instance, keys and versions.
    private static let base = """
        CREATE TABLE instance (
            -- one row: the instance and the token it is bound to
            one INTEGER PRIMARY KEY CHECK (one = 1),
            id BLOB NOT NULL CHECK (length(id) = 16),
            created_ms INTEGER NOT NULL,
            token_label TEXT NOT NULL,
            token_manufacturer TEXT NOT NULL,
            token_model TEXT NOT NULL,
            token_serial TEXT NOT NULL,
            -- 0 while 'token init' is at work, 1 when the instance is whole
            complete INTEGER NOT NULL CHECK (complete IN (0, 1))
        ) STRICT;
        CREATE TABLE instance_key (
            role INTEGER NOT NULL,
            version INTEGER NOT NULL CHECK (version >= 1),
            created_ms INTEGER NOT NULL,
            -- envelope-like encryption of 32 zero bytes and 32 random ones, and the SHA-256 of these; empty for keys that sign
            known_answer BLOB NOT NULL,
            known_answer_digest BLOB NOT NULL,
            PRIMARY KEY (role, version)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE key (
            id BLOB PRIMARY KEY CHECK (length(id) = 16),
            name TEXT NOT NULL,
            state INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            version INTEGER NOT NULL CHECK (version >= 1)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE key_version (
            key BLOB NOT NULL REFERENCES key (id),
            version INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
            suite INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            known_answer BLOB NOT NULL,
            known_answer_digest BLOB NOT NULL,
            -- encryptions counted in blocks: the true number is never higher
            wraps_reserved INTEGER NOT NULL,
            PRIMARY KEY (key, version)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE intent (
            -- a change that was begun: who asked, for what, and how it ended
            operation BLOB PRIMARY KEY CHECK (length(operation) = 16),
            uid INTEGER NOT NULL,
            opcode INTEGER NOT NULL,
            body_digest BLOB NOT NULL,
            key BLOB NOT NULL CHECK (length(key) = 16),
            name TEXT NOT NULL,
            version INTEGER NOT NULL,
            suite INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            -- 0 open, 1 done, 2 failed
            state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
            reply BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX intent_by_state ON intent (state, created_ms);
        CREATE TABLE quarantine (
            -- objects on the token that carry our instance id but have no record here
            cka_id BLOB NOT NULL,
            label TEXT NOT NULL,
            first_seen_ms INTEGER NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (cka_id, label)
        ) STRICT, WITHOUT ROWID;
        """
}
