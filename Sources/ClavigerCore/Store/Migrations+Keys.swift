extension Migrations {
    /// What is stored for the key lifecycle: kinds, rings, aliases, registrations, import tokens, policies, approvals.
    static let keys = """
        -- 0 root, 1 standard
        ALTER TABLE key ADD COLUMN kind INTEGER NOT NULL DEFAULT 0 CHECK (kind IN (0, 1));
        -- 0 generated, 1 imported
        ALTER TABLE key ADD COLUMN origin INTEGER NOT NULL DEFAULT 0 CHECK (origin IN (0, 1));
        ALTER TABLE key ADD COLUMN description TEXT NOT NULL DEFAULT '';
        ALTER TABLE key ADD COLUMN ring TEXT NOT NULL DEFAULT 'default';
        ALTER TABLE key ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
        ALTER TABLE key ADD COLUMN updated_ms INTEGER NOT NULL DEFAULT 0;
        -- rises with every change of the row: what compare-and-set compares
        ALTER TABLE key ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE key ADD COLUMN rotated_ms INTEGER;
        ALTER TABLE key ADD COLUMN expires_ms INTEGER;
        ALTER TABLE key ADD COLUMN suspended_ms INTEGER;
        ALTER TABLE key ADD COLUMN deleted_ms INTEGER;
        ALTER TABLE key ADD COLUMN deleted_by TEXT;
        -- the state that a restore gives back; set while the key is destroyed
        ALTER TABLE key ADD COLUMN state_before INTEGER;
        -- 1 once the material is gone: the restore window is over
        ALTER TABLE key ADD COLUMN wiped INTEGER NOT NULL DEFAULT 0 CHECK (wiped IN (0, 1));
        -- policy: 0 months is no policy; an interval is kept while the policy is off
        ALTER TABLE key ADD COLUMN rotation_months INTEGER NOT NULL DEFAULT 0 CHECK (rotation_months BETWEEN 0 AND 12);
        ALTER TABLE key ADD COLUMN rotation_enabled INTEGER NOT NULL DEFAULT 0 CHECK (rotation_enabled IN (0, 1));
        -- policy: a bit for each action that needs a second person (1 delete, 2 purge, 4 disable, 8 restore, 16 policy)
        ALTER TABLE key ADD COLUMN dual_control INTEGER NOT NULL DEFAULT 0;

        -- 0 in use, 1 retired (opens nothing), 2 destroyed (its material is gone)
        ALTER TABLE key_version ADD COLUMN state INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2));
        ALTER TABLE key_version ADD COLUMN bits INTEGER NOT NULL DEFAULT 256;
        -- 0 generated, 1 imported
        ALTER TABLE key_version ADD COLUMN origin INTEGER NOT NULL DEFAULT 0 CHECK (origin IN (0, 1));
        -- why it was made: empty, 'policy', 'wrap-limit', or what the caller said of an emergency
        ALTER TABLE key_version ADD COLUMN reason TEXT NOT NULL DEFAULT '';
        ALTER TABLE key_version ADD COLUMN retired_ms INTEGER;
        -- a standard key's secret, sealed under the vault key; NULL for root keys and once destroyed
        ALTER TABLE key_version ADD COLUMN sealed BLOB;

        -- the vault seals too, and its encryptions are counted like a root key's
        ALTER TABLE instance_key ADD COLUMN wraps_reserved INTEGER NOT NULL DEFAULT 65536;

        -- how often envelopes of a version were opened and when last: written in blocks, for the census, never authenticated
        CREATE TABLE version_use (
            key BLOB NOT NULL,
            version INTEGER NOT NULL,
            wraps INTEGER NOT NULL,
            unwraps INTEGER NOT NULL,
            last_wrap_ms INTEGER,
            last_unwrap_ms INTEGER,
            PRIMARY KEY (key, version)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE key_tag (
            key BLOB NOT NULL REFERENCES key (id),
            place INTEGER NOT NULL,
            tag TEXT NOT NULL,
            PRIMARY KEY (key, place)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE alias (
            alias TEXT PRIMARY KEY,
            key BLOB NOT NULL REFERENCES key (id),
            created_ms INTEGER NOT NULL,
            created_by TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX alias_by_key ON alias (key);

        CREATE TABLE ring (
            id TEXT PRIMARY KEY,
            created_ms INTEGER NOT NULL,
            created_by TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE registration (
            key BLOB NOT NULL REFERENCES key (id),
            resource TEXT NOT NULL,
            description TEXT NOT NULL,
            -- 1: the key cannot be deleted, not even by force
            retention INTEGER NOT NULL CHECK (retention IN (0, 1)),
            -- NULL: holds until it is released
            lease_ends_ms INTEGER,
            -- the key version that the resource was last protected with
            version INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            created_by TEXT NOT NULL,
            owner_uid INTEGER NOT NULL,
            updated_ms INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            PRIMARY KEY (key, resource)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE import_token (
            id BLOB PRIMARY KEY CHECK (length(id) = 16),
            created_ms INTEGER NOT NULL,
            created_by TEXT NOT NULL,
            expires_ms INTEGER NOT NULL,
            maximum_uses INTEGER NOT NULL,
            used INTEGER NOT NULL,
            -- SubjectPublicKeyInfo, DER
            public_key BLOB NOT NULL,
            -- 1 SHA-1, 2 SHA-256: the digest of OAEP
            oaep INTEGER NOT NULL CHECK (oaep IN (1, 2)),
            -- 0 open, 1 ended: its private key is destroyed or to be destroyed
            state INTEGER NOT NULL CHECK (state IN (0, 1))
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE import_nonce (
            nonce BLOB PRIMARY KEY CHECK (length(nonce) = 12),
            token BLOB NOT NULL REFERENCES import_token (id),
            issued_ms INTEGER NOT NULL,
            used INTEGER NOT NULL CHECK (used IN (0, 1))
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE instance_policy (
            name TEXT PRIMARY KEY,
            enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
            value INTEGER NOT NULL,
            updated_ms INTEGER NOT NULL,
            updated_by TEXT NOT NULL,
            revision INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE setting (
            name TEXT PRIMARY KEY,
            value INTEGER NOT NULL,
            updated_ms INTEGER NOT NULL,
            updated_by TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE approval (
            -- a request for an action that needs a second person
            id BLOB PRIMARY KEY CHECK (length(id) = 16),
            action INTEGER NOT NULL,
            -- the key; NULL for the instance's policies
            key BLOB,
            -- the request's body, which the approval carries out as it stands
            body BLOB NOT NULL,
            reason TEXT NOT NULL,
            requester TEXT NOT NULL,
            requester_uid INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            expires_ms INTEGER NOT NULL,
            -- 0 open, 1 approved, 2 cancelled, 3 expired
            state INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3)),
            approver TEXT,
            approver_uid INTEGER,
            decided_ms INTEGER
        ) STRICT, WITHOUT ROWID;

        -- objects whose end is decided: destroyed on the token as soon as nobody holds their handle
        CREATE TABLE destroy_order (
            cka_id BLOB PRIMARY KEY,
            ordered_ms INTEGER NOT NULL,
            reason TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- what a change that was begun is about, beyond a new version
        ALTER TABLE intent ADD COLUMN details BLOB NOT NULL DEFAULT x'';
        """
}
