import ClavigerWire

extension KeyEntry {
    /// The key as shown to callers at a moment.
    package func record(at now: UInt64, _ settings: SettingValues) -> KeyRecord {
        var record = KeyRecord(
            id: id, name: name, state: stored.state(at: now), created: created, version: current.number,
            versionCreated: current.created, suite: current.suite)
        record.kind = kind
        record.isImported = stored.isImported
        record.bits = kind == .root ? current.stored.bits : nil
        record.description = stored.description.isEmpty ? nil : stored.description
        record.ring = ring
        record.tags = stored.tags
        record.aliases = stored.aliases
        record.createdBy = stored.createdBy.isEmpty ? nil : stored.createdBy
        record.updated = stored.updated
        record.revision = stored.revision
        record.rotated = stored.rotated
        record.expires = stored.expires
        record.dualControl = stored.dualControl
        record.registrations = registrations
        record.isWiped = stored.isWiped
        record.pendingApproval = approvals.first { now < $0.expires }?.id
        if kind == .root {
            record.rotationMonths = stored.rotationMonths
            record.isRotationEnabled = stored.isRotationEnabled
            record.nextRotation = nextRotation(at: now)
        }
        if stored.state == .destroyed { addDeletion(to: &record, at: now, settings) }
        return record
    }

    private func addDeletion(to record: inout KeyRecord, at now: UInt64, _ settings: SettingValues) {
        record.deleted = stored.deleted
        record.deletedBy = stored.deletedBy
        record.restorableUntil = stored.due(.restoreWindow, after: .deletion, settings)
        record.purgeFrom = stored.due(.purgeDelay, after: .deletion, settings)
        record.purgeScheduled = stored.due(.autoPurge, after: .deletion, settings)
        record.isRestoreAllowed = !stored.isWiped && stored.allows(.restore, at: now, settings)
        record.isPurgeAllowed = stored.allows(.purge, at: now, settings)
    }

    /// When the key's rotation policy rotates it next, in milliseconds since 1970; nil when it does not.
    ///
    /// The interval counts from the newest version, whoever asked for it.
    package func nextRotation(at now: UInt64) -> UInt64? {
        guard kind == .root, !stored.isImported, stored.isRotationEnabled, stored.rotationMonths > 0,
            stored.state(at: now) == .active
        else { return nil }
        let (due, overflow) = current.created.addingReportingOverflow(UInt64(stored.rotationMonths) * RotationMonths.month)
        return overflow ? nil : due
    }
}
