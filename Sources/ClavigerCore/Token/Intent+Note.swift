import ClavigerWire

// The record of a new key or version: what it is and how its material came, beside what was asked for.
extension Intent {
    /// What the audit log is to say of its end.
    ///
    /// - Parameter change: the change that ends it; nil where nobody waits for it any more.
    func note(_ change: TokenService.Change?, _ key: StoredKey, _ version: StoredVersion) -> ChangeNote {
        var changes = [
            ChangeNote.Change("version", from: version.version == 1 ? nil : "\(version.version - 1)", to: "\(version.version)")
        ]
        if version.version == Limits.firstVersion { changes.append(.init("name", from: nil, to: key.name)) }
        if !version.reason.isEmpty { changes.append(.init("reason", from: nil, to: version.reason)) }
        var note = ChangeNote(
            event: opcode.entry.name, caller: change?.caller, key: key.id, version: version.version, ring: key.ring,
            changes: changes)
        // The request that began it may have left no record: a crash came between.
        if change == nil { note.asked = [AuditRecord.Field("operation", "\(operation)")] }
        if version.version == Limits.firstVersion {
            note.results = [
                AuditRecord.Field("keyType", key.kind.name),
                AuditRecord.Field("keyState", key.state(at: version.created).name),
            ]
            if let expires = key.expires { note.results.append(AuditRecord.Field("expirationDate", "\(DateText(expires))")) }
        }
        note.results += [
            AuditRecord.Field("material", Intent.origin(version, change?.material)),
            AuditRecord.Field("suite", version.suite.name),
        ]
        return note
    }

    // How the material came, in words of the record.
    private static func origin(_ version: StoredVersion, _ material: NewMaterial?) -> String {
        if case .wrapped? = material { return "import-token" }
        return version.isImported ? "imported" : "generated"
    }
}
