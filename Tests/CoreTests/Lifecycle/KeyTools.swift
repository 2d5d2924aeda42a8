import ClavigerWire
import Synchronization
import Testing

@testable import ClavigerCore

// What tests of the lifecycle ask for, in short.
extension TestInstance {
    private static let counter = Counter()

    /// An operation id that no other request has.
    static func operation() -> OperationID { OperationID(high: 0x11, low: counter.next()) }

    func create(_ name: String = "key", _ fill: (inout KeyCreateRequest) -> Void = { _ in }) throws -> KeyRecord {
        var message = KeyCreateRequest(name: name, operation: TestInstance.operation())
        fill(&message)
        return try ask(.keyCreate, message) { try KeyRecord.decode($0) }
    }

    @discardableResult
    func rotate(_ key: KeyID, reason: String? = "test") throws -> KeyRecord {
        var message = KeyRotateRequest(key: .id(key), operation: TestInstance.operation())
        message.reason = reason
        return try ask(.keyRotate, message) { try KeyRecord.decode($0) }
    }

    /// Disables, enables or restores a key.
    @discardableResult
    func change(_ opcode: Opcode, _ key: KeyID, operation: OperationID? = nil) throws -> KeyRecord {
        try ask(opcode, KeyChangeRequest(key: .id(key), operation: operation ?? TestInstance.operation())) {
            try KeyRecord.decode($0)
        }
    }

    func purge(_ key: KeyID, operation: OperationID? = nil) throws {
        let purged = try ask(.keyPurge, KeyChangeRequest(key: .id(key), operation: operation ?? TestInstance.operation())) {
            try KeyPurgeReply.decode($0).id
        }
        #expect(purged == key)
    }

    @discardableResult
    func delete(_ key: KeyID, force: Bool = false, dryRun: Bool = false) throws -> KeyDeleteReply {
        try ask(
            .keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation(), force: force, dryRun: dryRun)
        ) { try KeyDeleteReply.decode($0) }
    }

    func update(_ key: KeyID, _ fill: (inout KeyUpdateRequest) -> Void) throws -> KeyRecord {
        var message = KeyUpdateRequest(key: .id(key), operation: TestInstance.operation())
        fill(&message)
        return try ask(.keyUpdate, message) { try KeyRecord.decode($0) }
    }

    func show(_ key: KeyID) throws -> KeyRecord {
        try ask(.keyShow, KeyShowRequest(key: .id(key))) { try KeyRecord.decode($0) }
    }

    func versions(_ key: KeyID) throws -> [VersionRecord] {
        try ask(.keyVersions, KeyVersionsRequest(key: .id(key))) { try KeyVersionsReply.decode($0).versions }
    }

    func census(_ key: KeyID) throws -> [CensusRecord] {
        try ask(.keyCensus, KeyVersionsRequest(key: .id(key))) { try KeyCensusReply.decode($0).versions }
    }

    @discardableResult
    func retire(_ key: KeyID, _ version: UInt32, undo: Bool = false) throws -> VersionRecord {
        try ask(
            .versionRetire,
            VersionRetireRequest(key: .id(key), operation: TestInstance.operation(), version: version, undo: undo)
        ) { try VersionRecord.decode($0) }
    }

    /// Destroys a version, of which nothing is asked that `census` has not shown before.
    @discardableResult
    func destroy(_ key: KeyID, _ version: UInt32) throws -> VersionRecord {
        try ask(
            .versionDestroy, VersionDestroyRequest(key: .id(key), operation: TestInstance.operation(), version: version)
        ) { try VersionRecord.decode($0) }
    }

    func rewrap(_ envelope: [UInt8]) throws -> [UInt8] {
        let item = OpenItem(envelope: ByteRange(offset: 0, count: envelope.count))
        return try ask(.rewrap, RewrapRequest(key: nil, items: [item]), source: envelope) { body in
            let item = try CipherReply.decode(body).items[0]
            if let code = RefusalCode(rawValue: item.code) { throw Refusal(code, item.message) }
            return body.part(try #require(item.envelope)).array()
        }
    }

    /// What becomes of the items of a batch that opens the same envelope again and again; it begins and ends with one snapshot.
    static func outcomes(ofUnwrapping envelope: [UInt8], _ service: Service) throws -> Set<RefusalCode?> {
        let items = Array(repeating: OpenItem(envelope: ByteRange(offset: 0, count: envelope.count)), count: 64)
        return try ask(service, .unwrap, UnwrapRequest(key: nil, items: items), source: envelope) { body in
            Set(try CipherReply.decode(body).items.map { RefusalCode(rawValue: $0.code) })
        }
    }

    /// What the housekeeper and the supervisor do by themselves, done now.
    func keepHouse() throws {
        let service = try service
        service.housekeeper.sweep()
        service.token.rotateDueKeys()
        service.token.carryOutOrders()
    }

    /// The stored keys and versions of this moment.
    func stored() throws -> [KeyID: StoredEntry] {
        Dictionary(
            uniqueKeysWithValues: try service.snapshots.current.keys.values.map { key in
                let entry = StoredEntry(
                    key: key.stored, versions: key.versions.map(\.stored), counts: key.versions.map(\.use.counts),
                    hasHandles: key.versions.map { $0.handles != nil })
                return (key.id, entry)
            })
    }
}

/// A key with its versions, in a form that can be compared.
struct StoredEntry: Equatable {
    var key: StoredKey
    var versions: [StoredVersion]
    var counts: [VersionUse.Counts]
    var hasHandles: [Bool]
}

/// The code that a request was refused with; nil when it was done.
func code(_ body: () throws -> some Any) throws -> RefusalCode? {
    do {
        _ = try body()
        return nil
    } catch let refusal as Refusal {
        return refusal.code
    }
}

/// Hands out numbers.
private final class Counter: Sendable {
    private let value = Mutex<UInt64>(0)
    func next() -> UInt64 {
        value.withLock {
            $0 += 1
            return $0
        }
    }
}
