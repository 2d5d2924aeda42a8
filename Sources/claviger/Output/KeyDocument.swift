import ClavigerClient

/// A key as it is printed.
struct KeyDocument: Encodable {
    /// The fields, for the help of commands that print one.
    static let fields = """
        id, name, state, kind, ring, description, tags, aliases, imported, bits, created, createdBy, version, versionCreated, suite, \
        rotated, updated, revision, expires, rotation (months, enabled, next), dualControl, registrations, pendingApproval; of \
        a deleted key: deleted, deletedBy, restorableUntil, restoreAllowed, purgeFrom, purgeAllowed, purgeScheduled, wiped. Times are \
        RFC 3339 in UTC; what does not apply is left out
        """

    var id: String
    var name: String
    var state: String
    var kind: String
    var ring: String?
    var description: String?
    var tags: [String]
    var aliases: [String]
    var imported: Bool
    var bits: UInt32?
    var created: String
    var createdBy: String?
    var version: UInt32
    var versionCreated: String
    var suite: String
    var rotated: String?
    var updated: String?
    var revision: UInt64?
    var expires: String?
    var rotation: Rotation?
    var dualControl: [String]
    var registrations: UInt32?
    var pendingApproval: String?
    var deleted: String?
    var deletedBy: String?
    var restorableUntil: String?
    var restoreAllowed: Bool?
    var purgeFrom: String?
    var purgeAllowed: Bool?
    var purgeScheduled: String?
    var wiped: Bool?

    struct Rotation: Encodable {
        var months: UInt32
        var enabled: Bool
        var next: String?
    }

    init(_ key: KeyRecord) {
        id = key.id.description
        name = key.name
        state = key.state.name
        kind = (key.kind ?? .root).name
        ring = key.ring
        description = key.description
        tags = key.tags
        aliases = key.aliases
        imported = key.isImported
        bits = key.bits
        created = Text.time(key.created)
        createdBy = key.createdBy
        version = key.version
        versionCreated = Text.time(key.versionCreated)
        suite = key.suite.name
        rotated = key.rotated.map(Text.time)
        updated = key.updated.map(Text.time)
        revision = key.revision
        expires = key.expires.map(Text.time)
        if let months = key.rotationMonths, months > 0 {
            rotation = Rotation(months: months, enabled: key.isRotationEnabled, next: key.nextRotation.map(Text.time))
        }
        dualControl = (key.dualControl ?? []).actions.map(\.name)
        registrations = key.registrations
        pendingApproval = key.pendingApproval?.description
        guard key.state == .destroyed else { return }
        deleted = key.deleted.map(Text.time)
        deletedBy = key.deletedBy
        restorableUntil = key.restorableUntil.map(Text.time)
        restoreAllowed = key.isRestoreAllowed
        purgeFrom = key.purgeFrom.map(Text.time)
        purgeAllowed = key.isPurgeAllowed
        purgeScheduled = key.purgeScheduled.map(Text.time)
        wiped = key.isWiped
    }

    /// Lines for people: what every key has, then what this one has.
    static func text(_ key: KeyRecord) -> String {
        var pairs = [
            ("id", key.id.description), ("name", key.name), ("state", key.state.name),
            ("kind", (key.kind ?? .root).name + (key.isImported ? ", imported" : "")),
        ]
        func add(_ name: String, _ value: String?) {
            if let value, !value.isEmpty { pairs.append((name, value)) }
        }
        add("ring", key.ring)
        add("description", key.description)
        add("tags", key.tags.joined(separator: ", "))
        add("aliases", key.aliases.joined(separator: ", "))
        add("created", Text.time(key.created) + (key.createdBy.map { " by \($0)" } ?? ""))
        add("version", "\(key.version), since \(Text.time(key.versionCreated))")
        if key.kind != .standard { add("suite", key.suite.name + (key.bits.map { ", \($0) bits" } ?? "")) }
        add("expires", key.expires.map(Text.time))
        add("rotation", rotation(key))
        add("dual control", (key.dualControl ?? []).actions.map(\.name).joined(separator: ", "))
        if let registrations = key.registrations, registrations > 0 { add("registrations", String(registrations)) }
        add("waits for", key.pendingApproval.map { "approval \($0)" })
        add("updated", key.updated.map { Text.time($0) + (key.revision.map { ", revision \($0)" } ?? "") })
        guard key.state == .destroyed else { return Table.pairs(pairs) }
        add("deleted", key.deleted.map { Text.time($0) + (key.deletedBy.map { " by \($0)" } ?? "") })
        if key.isWiped { add("material", "destroyed for good") }
        add(
            "can be restored",
            key.isWiped ? "no" : key.restorableUntil.map { "\(key.isRestoreAllowed ? "" : "not now; ")until \(Text.time($0))" })
        add("can be purged", key.isPurgeAllowed ? "now" : key.purgeFrom.map { "from \(Text.time($0))" })
        add("purged by itself", key.purgeScheduled.map(Text.time))
        return Table.pairs(pairs)
    }

    private static func rotation(_ key: KeyRecord) -> String? {
        guard let months = key.rotationMonths, months > 0 else { return nil }
        guard key.isRotationEnabled else { return "every \(months) months, switched off" }
        return "every \(months) months" + (key.nextRotation.map { ", next \(Text.time($0))" } ?? "")
    }
}

/// A key's version as it is printed.
struct VersionDocument: Encodable {
    static let fields = "version, state, created, suite, bits, current, wraps, usable, imported, reason, retired"

    var version: UInt32
    var state: String
    var created: String
    var suite: String
    var bits: UInt32?
    var current: Bool
    var wraps: UInt64
    var usable: Bool
    var imported: Bool
    var reason: String?
    var retired: String?

    init(_ record: VersionRecord) {
        version = record.version
        state = (record.state ?? .inUse).name
        created = Text.time(record.created)
        suite = record.suite.name
        bits = record.bits
        current = record.isCurrent
        wraps = record.wraps
        usable = record.isUsable
        imported = record.isImported
        reason = record.reason
        retired = record.retired.map(Text.time)
    }

    /// A table for people.
    static func text(_ versions: [VersionRecord]) -> String {
        var table = Table(["VERSION", "STATE", "CREATED", "SUITE", "CURRENT", "WRAPS", "USABLE", "WHY"])
        for version in versions {
            table.add([
                String(version.version), (version.state ?? .inUse).name, Text.time(version.created), version.suite.name,
                version.isCurrent ? "yes" : "no", "<= \(version.wraps)", version.isUsable ? "yes" : "NO", version.reason ?? "-",
            ])
        }
        return table.text
    }
}
