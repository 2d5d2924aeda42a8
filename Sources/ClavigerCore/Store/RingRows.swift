import ClavigerWire

/// A key ring as stored. The default ring has no row.
package struct StoredRing: Equatable, Sendable {
    package var id: String
    /// In milliseconds since 1970.
    package var created: UInt64
    package var createdBy: String
}

extension SQLiteConnection {
    /// All rings but the default one, by id.
    func rings() throws(StoreError) -> [StoredRing] {
        var rings: [StoredRing] = []
        try run("SELECT id, created_ms, created_by FROM ring ORDER BY id") { row throws(StoreError) in
            rings.append(StoredRing(id: row.text(0), created: row.unsigned(1), createdBy: row.text(2)))
        }
        return rings
    }

    /// Whether there is a ring of this id.
    func hasRing(_ id: String) throws(StoreError) -> Bool {
        if id == StoredKey.defaultRing { return true }
        var isThere = false
        try run("SELECT 1 FROM ring WHERE id = ?", [.text(id)]) { _ throws(StoreError) in isThere = true }
        return isThere
    }

    /// How many rings there are beside the default one.
    func ringCount() throws(StoreError) -> Int {
        var count = 0
        try run("SELECT count(*) FROM ring") { row throws(StoreError) in count = Int(row.integer(0)) }
        return count
    }

    /// Writes a new ring, whose id must be free.
    func insert(_ ring: StoredRing) throws(StoreError) {
        try run(
            "INSERT INTO ring (id, created_ms, created_by) VALUES (?, ?, ?)",
            [.text(ring.id), .unsigned(ring.created), .text(ring.createdBy)])
    }

    /// Removes a ring, which must be empty by then.
    func delete(ring id: String) throws(StoreError) {
        try run("DELETE FROM ring WHERE id = ?", [.text(id)])
    }
}
