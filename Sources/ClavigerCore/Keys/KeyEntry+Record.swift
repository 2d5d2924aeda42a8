import ClavigerWire

extension KeyEntry {
    /// The key as shown to callers at a moment.
    package func record(at now: UInt64) -> KeyRecord {
        KeyRecord(
            id: id, name: name, state: stored.state(at: now), created: created, version: current.number,
            versionCreated: current.created, suite: current.suite)
    }
}
