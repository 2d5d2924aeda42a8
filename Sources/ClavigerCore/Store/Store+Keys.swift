import ClavigerWire

extension Store {
    /// All keys.
    package func keys() throws(StoreError) -> [StoredKey] {
        try withConnection { connection throws(StoreError) in try connection.keys() }
    }

    /// The key of this id.
    package func key(_ id: KeyID) throws(StoreError) -> StoredKey? {
        try withConnection { connection throws(StoreError) in try connection.key(id) }
    }

    /// All versions of all keys, by key and ascending version.
    package func versions() throws(StoreError) -> [StoredVersion] {
        try withConnection { connection throws(StoreError) in try connection.versions() }
    }

    /// How versions were used, as written last.
    package func uses() throws(StoreError) -> [StoredUse] {
        try withConnection { connection throws(StoreError) in
            var uses: [StoredUse] = []
            try connection.run("SELECT key, version, wraps, unwraps, last_wrap_ms, last_unwrap_ms FROM version_use") {
                row throws(StoreError) in
                uses.append(
                    StoredUse(
                        key: try row.identifier(0), version: UInt32(truncatingIfNeeded: row.integer(1)),
                        counts: VersionUse.Counts(
                            wraps: row.unsigned(2), unwraps: row.unsigned(3), lastWrap: row.moment(4) ?? 0,
                            lastUnwrap: row.moment(5) ?? 0)))
            }
            return uses
        }
    }

    /// Writes how versions were used. Those that are gone meanwhile are left out.
    package func setUses(_ uses: [StoredUse]) throws(StoreError) {
        guard !uses.isEmpty else { return }
        try transaction { connection throws(StoreError) in
            for use in uses {
                try connection.run(
                    """
                    INSERT OR REPLACE INTO version_use (key, version, wraps, unwraps, last_wrap_ms, last_unwrap_ms)
                    SELECT key, version, ?, ?, ?, ? FROM key_version WHERE key = ? AND version = ?
                    """,
                    [
                        .unsigned(use.counts.wraps), .unsigned(use.counts.unwraps),
                        .moment(use.counts.lastWrap == 0 ? nil : use.counts.lastWrap),
                        .moment(use.counts.lastUnwrap == 0 ? nil : use.counts.lastUnwrap), .blob(use.key.bytes),
                        .integer(Int64(use.version)),
                    ])
            }
        }
    }

    /// How many resources are registered with each key that has any.
    package func registrationCounts() throws(StoreError) -> [KeyID: UInt32] {
        try withConnection { connection throws(StoreError) in
            var counts: [KeyID: UInt32] = [:]
            try connection.run("SELECT key, count(*) FROM registration GROUP BY key") { row throws(StoreError) in
                counts[try row.identifier(0)] = UInt32(clamping: row.integer(1))
            }
            return counts
        }
    }

    /// The instance's settings. What is outside a setting's range (an older version's) counts as not set.
    package func settings() throws(StoreError) -> SettingValues {
        try withConnection { connection throws(StoreError) in
            var values = SettingValues()
            try connection.run("SELECT name, value FROM setting") { row throws(StoreError) in
                guard let setting = InstanceSetting(rawValue: row.text(0)) else { return }
                if let value = setting.checked(row.unsigned(1)) { values[setting] = value }
            }
            return values
        }
    }

    /// Raises a version's reserved number of encryptions; never lowers it.
    package func reserveWraps(_ key: KeyID, _ version: UInt32, upTo reserved: UInt64) throws(StoreError) {
        let changed = try transaction { connection throws(StoreError) in
            try connection.run(
                "UPDATE key_version SET wraps_reserved = max(wraps_reserved, ?) WHERE key = ? AND version = ?",
                [.unsigned(reserved), .blob(key.bytes), .integer(Int64(version))])
        }
        guard changed == 1 else { throw .corrupt("version \(version) of key \(key) has no row") }
    }
}
