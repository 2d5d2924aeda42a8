import ClavigerWire
import Cryptoki
import SecureMemory

/// The instance's key for secrets at rest, as a token generation has it.
struct Vault: Sendable {
    let instance: InstanceID
    let name: ObjectName
    let handles: SuiteHandles
    let answer: KnownAnswer
    /// Its encryptions count like a root key's.
    let counter: WrapCounter

    /// Where a secret stands: what its seal authenticates, so that no row of the database can stand in for another.
    struct Place: Equatable {
        var key: KeyID
        var version: UInt32

        /// The context of one part of the secret: key, version, which part of how many.
        func context(part: Int, of parts: Int) -> [UInt8] {
            // Three short strings are within every limit of a context.
            (try? Context.encode(["\(key)", "\(version)", "\(part + 1)/\(parts)"])) ?? Context.empty
        }
    }

    /// Why a secret could not be opened.
    enum Failure: Error, Equatable {
        /// What is stored is not what a seal is like.
        case malformed
        case open(OpenFailure)
    }

    /// The bytes of a secret that go into one envelope: as many as an envelope takes.
    static let partLength = Limits.maximumPlaintext

    /// How many envelopes a secret of `count` bytes is sealed in.
    static func parts(_ count: Int) -> Int { (count + partLength - 1) / partLength }

    /// The envelopes' header: the vault is the instance's key.
    private var header: [UInt8] {
        Envelope.header(suite: handles.suite, keyID: KeyID(high: instance.high, low: instance.low), version: name.version)
    }

    /// Seals a secret. The caller has taken `parts` encryptions out of the budget.
    ///
    /// - Parameter secret: 1 to `Limits.maximumPayload` bytes in locked memory.
    /// - Returns: for each part u32 length and the envelope.
    func seal(
        _ secret: UnsafeRawBufferPointer, _ place: Place, session: inout Session, scratch: inout CipherScratch
    ) throws(CryptokiError) -> [UInt8] {
        precondition(secret.count >= Limits.minimumPlaintext && secret.count <= Limits.maximumPayload)
        var sealed: [UInt8] = []
        let parts = Vault.parts(secret.count)
        for part in 0..<parts {
            let start = part * Vault.partLength
            let slice = UnsafeRawBufferPointer(rebasing: secret[start..<min(start + Vault.partLength, secret.count)])
            let context = place.context(part: part, of: parts)
            var envelope = [UInt8](repeating: 0, count: Envelope.length(handles.suite, plaintext: slice.count))
            let outcome = envelope.withUnsafeMutableBytes { output in
                Result { () throws(CryptokiError) in
                    try SuiteCipher.seal(
                        .given(count: slice.count, copy: { $0.copyMemory(from: slice) }), label: .vault, header: header,
                        context: context.span.bytes, handles: handles, session: &session, scratch: &scratch, into: output)
                }
            }
            let count = try outcome.get()
            guard count == envelope.count else { throw .malformedReply(.encrypt) }
            sealed += withUnsafeBytes(of: UInt32(count).bigEndian) { Array($0) } + envelope
        }
        return sealed
    }

    /// Opens a secret into locked memory.
    ///
    /// - Parameter output: room for `Limits.maximumPayload` bytes; what lies in it after a failure is to be wiped by the caller.
    /// - Returns: the secret's length.
    func open(
        _ sealed: [UInt8], _ place: Place, session: inout Session, scratch: inout CipherScratch,
        into output: UnsafeMutableRawBufferPointer
    ) throws(Failure) -> Int {
        let envelopes = try Vault.split(sealed)
        var count = 0
        for (part, bytes) in envelopes.enumerated() {
            let envelope = try mapping({ (_: Refusal) in Failure.malformed }) { () throws(Refusal) in
                try Envelope(bytes.span.bytes)
            }
            let header = self.header
            guard Array(bytes.prefix(Envelope.headerLength)) == header, envelope.plaintextBound <= output.count - count else {
                throw .malformed
            }
            let context = place.context(part: part, of: envelopes.count)
            let rest = UnsafeMutableRawBufferPointer(rebasing: output[count...])
            count += try mapping(Failure.open) { () throws(OpenFailure) in
                try SuiteCipher.open(
                    envelope, of: bytes.span.bytes, label: .vault, header: header, context: context.span.bytes,
                    handles: handles, session: &session, scratch: &scratch
                ) { plaintext in
                    rest.copyMemory(from: plaintext)
                    return plaintext.count
                }
            }
        }
        return count
    }

    /// The envelopes that a seal consists of.
    static func split(_ sealed: [UInt8]) throws(Failure) -> [[UInt8]] {
        var envelopes: [[UInt8]] = []
        var position = 0
        while position < sealed.count {
            guard envelopes.count < parts(Limits.maximumPayload), sealed.count - position >= 4 else { throw .malformed }
            let length = sealed[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
            position += 4
            guard length >= Envelope.minimumLength, length <= Envelope.maximumLength, length <= sealed.count - position else {
                throw .malformed
            }
            envelopes.append(Array(sealed[position..<position + length]))
            position += length
        }
        guard !envelopes.isEmpty else { throw .malformed }
        return envelopes
    }
}

extension Vault {
    /// The version of the vault that a seal says it is of; nil for what is none.
    static func version(of sealed: [UInt8]) -> UInt32? {
        guard let first = try? split(sealed).first, let envelope = try? Envelope(first.span.bytes) else { return nil }
        return envelope.version
    }
}
