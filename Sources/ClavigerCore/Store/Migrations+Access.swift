extension Migrations {
    /// What is stored for access: grants, roles and the signed head.
    static let access = """
        CREATE TABLE access_grant (
            id BLOB PRIMARY KEY CHECK (length(id) = 16),
            -- the subject: every part that is there must hold; an account is pinned by number and, where it had one, name
            user_number INTEGER,
            user_name TEXT,
            group_number INTEGER,
            group_name TEXT,
            unit TEXT,
            role TEXT NOT NULL,
            -- 0 the instance, 1 a ring, 2 a key
            scope INTEGER NOT NULL CHECK (scope IN (0, 1, 2)),
            ring TEXT CHECK ((ring IS NOT NULL) = (scope = 1)),
            key BLOB CHECK ((key IS NOT NULL) = (scope = 2)),
            expires_ms INTEGER,
            -- the strings that a context must begin with, encoded as a context; empty for none
            condition BLOB NOT NULL,
            created_ms INTEGER NOT NULL,
            created_by TEXT NOT NULL,
            created_uid INTEGER NOT NULL,
            -- a revoked grant is kept for a day, so that a repeated request finds its answer
            revoked_ms INTEGER,
            revoked_uid INTEGER,
            revoke_operation BLOB,
            CHECK (user_number IS NOT NULL OR group_number IS NOT NULL OR unit IS NOT NULL)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE access_role (
            name TEXT PRIMARY KEY,
            summary TEXT NOT NULL,
            -- names of permissions, a space between
            permissions TEXT NOT NULL,
            created_ms INTEGER NOT NULL,
            created_by TEXT NOT NULL,
            created_uid INTEGER NOT NULL,
            operation BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        -- whether the first grants have been made: they are made once and can be revoked
        CREATE TABLE access_begun (one INTEGER PRIMARY KEY CHECK (one = 1), begun_ms INTEGER NOT NULL) STRICT;
        CREATE TABLE head (
            -- what the rows of all other tables but the excepted ones are, signed by the token's audit key
            one INTEGER PRIMARY KEY CHECK (one = 1),
            epoch INTEGER NOT NULL,
            -- the homomorphic digest over all authenticated rows
            digest BLOB NOT NULL,
            -- where the audit log stood: its last sequence number and record hash
            audit_sequence INTEGER NOT NULL,
            audit_hash BLOB NOT NULL,
            -- empty while the token was away: then the next signature takes the change in
            signature BLOB NOT NULL
        ) STRICT;
        """
}
