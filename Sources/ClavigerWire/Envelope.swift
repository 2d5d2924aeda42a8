/// How an envelope is encrypted. The suite belongs to the key version; an envelope only repeats it.
public enum Suite: UInt8, CaseIterable, Sendable {
    /// AES-256-GCM, the plaintext preceded by 32 zero bytes that commit to the key.
    case aesGCM = 1
    /// AES-256-CBC and HMAC-SHA-256, for tokens without GCM.
    case aesCBCWithHMAC = 2
    /// AES key wrap (RFC 3394) and HMAC-SHA-256, where the daemon must not see plaintext it does not return.
    case aesKeyWrapWithHMAC = 3

    /// The length of the tag at an envelope's end.
    public var tagLength: Int {
        switch self {
        case .aesGCM: 16
        case .aesCBCWithHMAC, .aesKeyWrapWithHMAC: 32
        }
    }

    /// Whether a plaintext of this length can be sealed: 1 to 4,096 bytes; suite 3: 16 to 4,096, a multiple of 8.
    public func allows(plaintextLength count: Int) -> Bool {
        guard count >= Limits.minimumPlaintext, count <= Limits.maximumPlaintext else { return false }
        switch self {
        case .aesGCM, .aesCBCWithHMAC: return true
        case .aesKeyWrapWithHMAC: return count >= 16 && count % 8 == 0
        }
    }

    func allows(ivLength: Int) -> Bool {
        switch self {
        case .aesGCM: ivLength == 12 || ivLength == 16
        case .aesCBCWithHMAC: ivLength == 16
        case .aesKeyWrapWithHMAC: ivLength == 0
        }
    }

    func allows(ciphertextLength count: Int) -> Bool {
        switch self {
        case .aesGCM: count > 32 && count <= 32 + Limits.maximumPlaintext
        case .aesCBCWithHMAC: count >= 16 && count <= Limits.maximumPlaintext + 16 && count % 16 == 0
        case .aesKeyWrapWithHMAC: count >= 24 && count <= Limits.maximumPlaintext + 8 && count % 8 == 0
        }
    }

    /// A word for people.
    public var name: String {
        switch self {
        case .aesGCM: "AES-256-GCM"
        case .aesCBCWithHMAC: "AES-256-CBC with HMAC-SHA-256"
        case .aesKeyWrapWithHMAC: "AES-KW with HMAC-SHA-256"
        }
    }
}

/// An envelope, format 1: where its parts lie. The envelope itself is authenticated only by opening it.
public struct Envelope: Equatable, Sendable {
    /// The suite that it says it was made with.
    public var suite: Suite
    /// The key that it says it was made with.
    public var keyID: KeyID
    /// The key version that it says it was made with.
    public var version: UInt32
    /// Where the initialisation vector lies.
    public var iv: ByteRange
    /// Where the ciphertext lies, without the tag.
    public var ciphertext: ByteRange
    /// Where the tag lies.
    public var tag: ByteRange

    /// `CLV` and the format's number.
    public static let magic: [UInt8] = [0x43, 0x4c, 0x56, 0x01]
    /// The length of the header that is authenticated: magic, suite, flags, key id, version.
    public static let headerLength = 26
    /// The length of the zero block before the plaintext in suite 1, which commits the ciphertext to the key.
    public static let commitmentLength = 32
    /// The longest envelope of any suite, 4,187 bytes: suite 1 with an IV of 16 bytes, or suite 2, whose padding block and longer
    /// tag come to the same; either with the longest plaintext.
    public static let maximumLength = headerLength + 1 + 16 + commitmentLength + Limits.maximumPlaintext + 16
    /// The shortest envelope of any suite, 83 bytes: suite 3, no IV, 16 bytes of plaintext and RFC 3394's 8. Suites 1 and 2 begin
    /// at 88 and 91.
    public static let minimumLength = headerLength + 1 + 24 + 32

    /// Finds the parts of the envelope that `bytes` consist of; ranges count from their beginning.
    ///
    /// - Throws: `malformedEnvelope` for anything that no suite could have made: wrong magic, unknown suite or flags, version 0,
    ///   a length that does not fit.
    public init(_ bytes: RawSpan) throws(Refusal) {
        let malformed = Refusal(.malformedEnvelope)
        guard bytes.byteCount >= Envelope.minimumLength, bytes.byteCount <= Envelope.maximumLength else { throw malformed }
        for (index, byte) in Envelope.magic.enumerated() where bytes.byte(at: index) != byte { throw malformed }
        guard let suite = Suite(rawValue: bytes.byte(at: 4)), bytes.byte(at: 5) == 0,
            let keyID = KeyID(bytes.extracting(6...))
        else { throw malformed }
        let version = bytes.bigEndian32(at: 22)
        let ivLength = Int(bytes.byte(at: 26))
        let ciphertextLength = bytes.byteCount - Envelope.headerLength - 1 - ivLength - suite.tagLength
        guard version >= Limits.firstVersion, suite.allows(ivLength: ivLength),
            suite.allows(ciphertextLength: ciphertextLength)
        else { throw malformed }
        self.suite = suite
        self.keyID = keyID
        self.version = version
        iv = ByteRange(offset: Envelope.headerLength + 1, count: ivLength)
        ciphertext = ByteRange(offset: iv.offset + ivLength, count: ciphertextLength)
        tag = ByteRange(offset: ciphertext.offset + ciphertextLength, count: suite.tagLength)
    }

    /// The length of the plaintext, or the most it can be where padding hides it (suite 2).
    public var plaintextBound: Int {
        switch suite {
        case .aesGCM: ciphertext.count - Envelope.commitmentLength
        case .aesCBCWithHMAC: min(ciphertext.count - 1, Limits.maximumPlaintext)
        case .aesKeyWrapWithHMAC: ciphertext.count - 8
        }
    }

    // The least length that the plaintext can have. A batch is counted by this: every batch that wrap accepts must be one that
    // unwrap accepts, and with the bound above 256 padded items of 1,024 bytes would be refused.
    var plaintextFloor: Int {
        switch suite {
        case .aesGCM, .aesKeyWrapWithHMAC: plaintextBound
        case .aesCBCWithHMAC: max(Limits.minimumPlaintext, ciphertext.count - 16)
        }
    }

    /// The length of an envelope of suite 1.
    public static func length(plaintext: Int, ivLength: Int = 12) -> Int {
        headerLength + 1 + ivLength + commitmentLength + plaintext + Suite.aesGCM.tagLength
    }

    /// The length of an envelope that the daemon makes of so much plaintext, which the suite allows.
    public static func length(_ suite: Suite, plaintext: Int) -> Int {
        switch suite {
        case .aesGCM: length(plaintext: plaintext)
        case .aesCBCWithHMAC: headerLength + 1 + 16 + (plaintext / 16 + 1) * 16 + suite.tagLength
        case .aesKeyWrapWithHMAC: headerLength + 1 + plaintext + 8 + suite.tagLength
        }
    }

    /// The 26 bytes of header for these values.
    public static func header(suite: Suite, keyID: KeyID, version: UInt32) -> [UInt8] {
        magic + [suite.rawValue, 0] + keyID.bytes + bigEndianBytes(version)
    }

    /// What an envelope authenticates: a label that separates uses, the header, the context's encoding.
    public static func associatedData(label: EnvelopeLabel, header: RawSpan, context: RawSpan) -> [UInt8] {
        var data: [UInt8] = []
        data.reserveCapacity(label.rawValue.utf8.count + 1 + header.byteCount + context.byteCount)
        data += label.rawValue.utf8
        data.append(0)
        header.withUnsafeBytes { data += $0 }
        context.withUnsafeBytes { data += $0 }
        return data
    }
}

/// What an envelope is for; part of what it authenticates, so that none can stand in for another.
public enum EnvelopeLabel: String, CaseIterable, Sendable {
    /// A caller's DEK.
    case wrap = "claviger/wrap/1"
    /// A key version's known answer.
    case knownAnswer = "claviger/known-answer/1"
    /// A secret at rest.
    case vault = "claviger/vault/1"
}
