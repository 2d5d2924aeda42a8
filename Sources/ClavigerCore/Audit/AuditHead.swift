import ClavigerWire
import SecureMemory

/// A signed statement that a log had come to a place: in the log a checkpoint, outside it what proves later that nothing was cut.
package struct AuditHead: Sendable, Equatable {
    /// Whose log it is.
    package var instance: InstanceID
    /// The place.
    package var position: AuditPosition
    /// When it was signed, in milliseconds since 1970.
    package var time: UInt64
    /// The epoch that the database's head had then; nil in a head that is kept elsewhere, in checkpoints of before they said it, and where
    /// the database was not believed.
    package var epoch: UInt64?
    /// The signature: r || s of P-256, or RSASSA-PKCS1-v1_5.
    package var signature: [UInt8]

    package init(instance: InstanceID, position: AuditPosition, time: UInt64, epoch: UInt64? = nil, signature: [UInt8]) {
        self.instance = instance
        self.position = position
        self.time = time
        self.epoch = epoch
        self.signature = signature
    }

    /// What is signed: SHA-256 of `claviger/audit-head/1`, a zero byte, instance (16), sequence u64 BE, hash (32), time u64 BE; with an
    /// epoch the text is `claviger/audit-head/2`, and the epoch u64 BE follows. So neither passes for the other.
    package static func digest(
        _ instance: InstanceID, _ position: AuditPosition, _ time: UInt64, _ epoch: UInt64? = nil
    ) -> [UInt8] {
        var bytes = Array((epoch == nil ? "claviger/audit-head/1" : "claviger/audit-head/2").utf8) + [0] + instance.bytes
        withUnsafeBytes(of: position.sequence.bigEndian) { bytes += $0 }
        bytes += position.hash.bytes
        withUnsafeBytes(of: time.bigEndian) { bytes += $0 }
        if let epoch { withUnsafeBytes(of: epoch.bigEndian) { bytes += $0 } }
        return SHA256.digest(bytes.span.bytes)
    }

    /// Whether the key's owner signed it.
    package func isSigned(by key: SigningPublicKey) -> Bool {
        key.verifies(signature, of: AuditHead.digest(instance, position, time, epoch))
    }

    /// The head as one line of JSON, as `claviger audit head` prints it.
    package var json: String {
        var text = JSONText()
        text.open()
        write(to: &text)
        text.close()
        return String(decoding: text.bytes, as: UTF8.self)
    }

    func write(to text: inout JSONText) {
        text.text("instance", "\(instance)")
        text.number("sequence", position.sequence)
        text.hex("hash", position.hash.bytes)
        text.time("time", time)
        if let epoch { text.number("epoch", epoch) }
        text.hex("signature", signature)
    }

    /// The head that a text in JSON holds; nil when it holds none.
    package init?(json: String) {
        guard let value = try? JSONValue(Array(json.utf8)) else { return nil }
        self.init(value)
    }

    init?(_ value: JSONValue) {
        guard let instance = value["instance"]?.text.flatMap({ InstanceID(text: $0) }),
            let sequence = value["sequence"]?.number, let time = value["time"]?.text.flatMap(AuditTime.milliseconds),
            let hash = value["hash"]?.text.flatMap({ AuditLine.bytes(hex: $0, count: SHA256.byteCount) }).flatMap({
                AuditHash($0)
            }),
            let signature = value["signature"]?.text.flatMap({ text in
                SigningPublicKey.signatureLengths.lazy.compactMap { AuditLine.bytes(hex: text, count: $0) }.first
            })
        else { return nil }
        let epoch = value["epoch"]?.number
        guard epoch != nil || value["epoch"] == nil else { return nil }
        self.init(
            instance: instance, position: AuditPosition(sequence: sequence, hash: hash), time: time, epoch: epoch,
            signature: signature)
    }
}
