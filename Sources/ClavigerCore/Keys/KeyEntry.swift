import ClavigerWire
import Cryptoki

/// One version of a key, with its object's handle.
package struct VersionEntry: Sendable {
    package var stored: StoredVersion
    package let counter: WrapCounter
    package let use: VersionUse
    /// The objects that have proven to be this version; nil when none have, and for what has no object: standard keys and versions whose
    /// material is gone. Valid in the snapshot's token generation only.
    package var handles: SuiteHandles?

    package init(_ stored: StoredVersion, counter: WrapCounter, use: VersionUse = VersionUse(), handles: SuiteHandles? = nil) {
        self.stored = stored
        self.counter = counter
        self.use = use
        self.handles = handles
    }

    package var number: UInt32 { stored.version }
    package var suite: Suite { stored.suite }
    /// In milliseconds since 1970.
    package var created: UInt64 { stored.created }
    package var knownAnswer: KnownAnswer { stored.knownAnswer }
    package var state: VersionState { stored.state }

    /// As shown to callers.
    ///
    /// - Parameter key: the key that it is a version of.
    package func record(of key: KeyEntry) -> VersionRecord {
        var record = VersionRecord(
            version: number, created: created, suite: suite, isCurrent: number == key.current.number, wraps: counter.reserved,
            isUsable: isUsable(of: key))
        record.state = state
        record.bits = key.kind == .root ? stored.bits : nil
        record.isImported = stored.isImported
        record.reason = stored.reason.isEmpty ? nil : stored.reason
        record.retired = stored.retired
        return record
    }

    /// Whether its material is there: as an object that has proven itself, or sealed in the database.
    private func isUsable(of key: KeyEntry) -> Bool {
        guard state != .destroyed, !key.stored.isWiped else { return false }
        return !key.needsObject(self) || handles != nil
    }
}

/// One key with all its versions.
package struct KeyEntry: Sendable {
    package var stored: StoredKey
    /// Ascending, without a gap, from version 1.
    package var versions: [VersionEntry]
    /// How many resources are registered with it.
    package var registrations: UInt32 = 0
    /// What somebody has asked to do to it that needs a second person, the oldest first.
    package var approvals: [OpenApproval] = []

    package init(_ stored: StoredKey, versions: [VersionEntry]) {
        self.stored = stored
        self.versions = versions
    }

    package var id: KeyID { stored.id }
    package var name: String { stored.name }
    package var kind: KeyKind { stored.kind }
    package var ring: String { stored.ring }
    /// In milliseconds since 1970.
    package var created: UInt64 { stored.created }

    /// The newest version, the one that wraps.
    package var current: VersionEntry { versions[versions.count - 1] }

    /// The version of this number.
    package func version(_ number: UInt32) -> VersionEntry? {
        guard number >= Limits.firstVersion, Int(number) <= versions.count else { return nil }
        return versions[Int(number) - 1]
    }

    /// Whether a version has an object on the token: a root key's does until its material is destroyed.
    package func needsObject(_ version: VersionEntry) -> Bool {
        switch (kind, version.state) {
        case (.root, .inUse), (.root, .retired): !stored.isWiped
        case (.root, .destroyed), (.standard, _): false
        }
    }

    /// How many versions have no usable object although they should.
    package var faultyVersions: Int { versions.count { needsObject($0) && $0.handles == nil } }
}
