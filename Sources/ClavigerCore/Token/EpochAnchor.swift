import ClavigerWire
import Cryptoki

/// The head's epoch as the token remembers it: a private data object, which who can write the database cannot.
///
/// It is only ever replaced by a higher one: the new object is made and durable before the old one goes, and of several the highest
/// counts.
struct EpochAnchor {
    let handle: ObjectHandle
    let epoch: UInt64

    private static let magic = Array("CLVA".utf8) + [1]

    /// The label of an instance's anchors.
    static func label(_ instance: InstanceID) -> String { "claviger:\(instance):epoch" }

    /// All anchors of an instance, the highest first. A public object counts for nothing: some tokens let anybody make one. Call it under the lock that serialises finding and creating.
    static func find(_ instance: InstanceID, _ session: inout Session) throws(CryptokiError) -> [EpochAnchor] {
        var found: [EpochAnchor] = []
        let handles = try session.findObjects(
            matching: [.objectClass(.data), .bool(.token, true), .bool(.private, true), .label(label(instance))], limit: maximum)
        for handle in handles {
            // One that a crash left half-written says nothing.
            guard let value = try? session.bytes(.value, of: handle), let epoch = epoch(in: value, instance) else { continue }
            found.append(EpochAnchor(handle: handle, epoch: epoch))
        }
        return found.sorted { $0.epoch > $1.epoch }
    }

    /// Whether these are still what they were when they were found or made: a handle is the module's to give to another object.
    static func hold(_ anchors: [EpochAnchor], _ instance: InstanceID, _ session: inout Session) -> Bool {
        for anchor in anchors {
            guard let value = try? session.bytes(.value, of: anchor.handle), epoch(in: value, instance) == anchor.epoch else {
                return false
            }
        }
        return true
    }

    /// Anchors looked at: there are one or two, a crash leaves one more.
    private static let maximum = 1_000

    /// Makes an anchor.
    static func make(_ epoch: UInt64, _ instance: InstanceID, _ session: inout Session) throws(CryptokiError) -> ObjectHandle {
        try session.createObject([
            .objectClass(.data), .bool(.token, true), .bool(.private, true), .label(label(instance)),
            .text(.application, "claviger"), .bytes(.value, value(epoch, instance)), .bool(.modifiable, false),
        ])
    }

    /// An anchor's value: its magic, the instance's id and the epoch, big-endian.
    static func value(_ epoch: UInt64, _ instance: InstanceID) -> [UInt8] {
        var value = magic + instance.bytes
        withUnsafeBytes(of: epoch.bigEndian) { value += $0 }
        return value
    }

    private static func epoch(in value: [UInt8], _ instance: InstanceID) -> UInt64? {
        guard value.count == magic.count + InstanceID.byteCount + 8, value.starts(with: magic + instance.bytes) else {
            return nil
        }
        let epoch = value.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
        return epoch < Head.maximumEpoch ? epoch : nil
    }
}
