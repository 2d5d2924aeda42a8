extension Migrations {
    /// What is stored for audit: the outbox and the log's anchor.
    static let audit = """
        CREATE TABLE audit_outbox (
            -- records of changes, written with the change and kept until they are in the log
            number INTEGER PRIMARY KEY,
            -- stands in the record too, so that none is appended twice
            id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
            -- the log's newest record when this one was made: it can only stand behind it
            after INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT;
        CREATE TABLE audit_anchor (
            -- one row: a record that was on the disk, by number and hash; a log without it was cut or replaced
            one INTEGER PRIMARY KEY CHECK (one = 1),
            sequence INTEGER NOT NULL,
            hash BLOB NOT NULL CHECK (length(hash) = 32)
        ) STRICT;
        """
}
