import ClavigerWire

// What became of a new configuration.
extension AuditRecorder {
    /// Records what a reload changes.
    package func reloaded(_ difference: Configuration.ReloadDifference) {
        var record = AuditRecord.system(
            .reload, time: time.now(),
            [
                AuditRecord.Field("effective", difference.effective.joined(separator: ",")),
                AuditRecord.Field("needsRestart", difference.needsRestart.joined(separator: ",")),
            ])
        record.changes = difference.changes
        append(record)
    }

    /// Records that a reload was ordered and the old configuration stays.
    package func notReloaded(_ error: ConfigurationError) {
        var record = AuditRecord.system(.reload, time: time.now())
        record.refusal = Refusal(.invalidValue, String("\(error)".prefix(Limits.maximumMessage)))
        append(record)
    }
}
