extension Migrations {
    /// What is stored for access: grants, roles and the signed head.
    static let access = """
        SELECT 1;
        """
}
