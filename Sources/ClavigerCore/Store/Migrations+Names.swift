extension Migrations {
    /// Who somebody was, beside his number, which a later account may get.
    static let names = """
        -- the user's name then: NULL where it was not known, empty where the number had none
        ALTER TABLE approval ADD COLUMN requester_name TEXT;
        ALTER TABLE registration ADD COLUMN owner_name TEXT;
        """
}
