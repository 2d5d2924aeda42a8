extension Migrations {
    /// What is stored for tokens that are not alike.
    static let tokens = """
        -- the suite of those instance keys that encrypt
        ALTER TABLE instance_key ADD COLUMN suite INTEGER NOT NULL DEFAULT 1 CHECK (suite IN (1, 2, 3));
        """
}
