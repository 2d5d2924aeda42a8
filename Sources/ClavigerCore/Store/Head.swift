import ClavigerWire
import SecureMemory

/// What the database is at one moment, in so few bytes that the token can sign it.
package struct Head: Equatable, Sendable {
    /// Rises with every change of what is authenticated, and with every start and stop. Never lowered.
    package var epoch: UInt64
    /// The digest over all authenticated rows (`HeadTables`).
    package var digest: [UInt8]
    /// Where the audit log stood: its last sequence number and the hash of that record.
    package var auditSequence: UInt64
    package var auditHash: [UInt8]
    /// By the instance's `audit` key; empty for a change made while the token was away.
    package var signature: [UInt8]

    package init(
        epoch: UInt64, digest: [UInt8], auditSequence: UInt64 = 0, auditHash: [UInt8] = [], signature: [UInt8] = []
    ) {
        self.epoch = epoch
        self.digest = digest
        self.auditSequence = auditSequence
        self.auditHash = auditHash
        self.signature = signature
    }

    /// Above every epoch that a daemon reaches, and far from where counting on would overflow.
    static let maximumEpoch: UInt64 = 1 << 62

    /// SHA-256 of what is signed: "claviger/head/1" and a zero byte, the instance's id, epoch, digest, and the audit log's sequence
    /// number and hash; numbers of eight bytes big-endian, bytes behind their length.
    ///
    /// - Parameter isAnchored: whether the token remembered an epoch when it was signed; then the text is "claviger/head/anchored/1". So
    ///   the signature itself says whether there is an anchor to be found.
    package func content(of instance: InstanceID, isAnchored: Bool) -> [UInt8] {
        var bytes = Array((isAnchored ? "claviger/head/anchored/1" : "claviger/head/1").utf8) + [0] + instance.bytes
        func number(_ value: UInt64) { withUnsafeBytes(of: value.bigEndian) { bytes += $0 } }
        number(epoch)
        number(UInt64(digest.count))
        bytes += digest
        number(auditSequence)
        number(UInt64(auditHash.count))
        bytes += auditHash
        return SHA256.digest(bytes.span.bytes)
    }
}

/// Who signs heads.
package protocol HeadSigner: Sendable {
    /// The head with its signature; with an empty one while the token is away.
    func sign(_ head: Head) -> Head
}
