extension Migrations {
    /// What a deletion promises, as moments of the key's own: settings that change later change none of it.
    static let deletions = """
        -- set while the key is destroyed: until when it can be restored, from when on purged, and when the daemon purges it
        ALTER TABLE key ADD COLUMN restorable_until_ms INTEGER;
        ALTER TABLE key ADD COLUMN purgeable_from_ms INTEGER;
        ALTER TABLE key ADD COLUMN purged_from_ms INTEGER;
        -- what is deleted already gets what the settings say today
        UPDATE key SET
            restorable_until_ms =
                deleted_ms + 1000 * coalesce((SELECT value FROM setting WHERE name = 'restore-window'), 2592000),
            purgeable_from_ms =
                deleted_ms + 1000 * coalesce((SELECT value FROM setting WHERE name = 'purge-delay'), 14400),
            purged_from_ms =
                deleted_ms + 1000 * coalesce((SELECT value FROM setting WHERE name = 'auto-purge'), 7776000)
        WHERE deleted_ms IS NOT NULL;
        """
}
