import ClavigerWire

/// What wrap made.
public struct Wrapped: Sendable, Equatable {
    /// The envelope's bytes; `EnvelopeText.encode` gives its text form.
    public let envelope: [UInt8]
    /// The key that made it.
    public let key: KeyID
    /// The version that made it.
    public let version: UInt32
}

/// What wrap made of a DEK that the token generated.
public struct Generated: ~Copyable, Sendable {
    /// The DEK.
    public let plaintext: Plaintext
    /// Its envelope.
    public let wrapped: Wrapped
}

/// What unwrap says of an envelope, beside its plaintext.
public struct Opened: Sendable, Equatable {
    /// The key that made the envelope.
    public let key: KeyID
    /// The version that made the envelope.
    public let version: UInt32
    /// Whether the key has a newer version.
    public let isStale: Bool
    /// A new envelope of the same plaintext, when one was asked for, the old one was stale and the caller may wrap.
    public let refreshed: Wrapped?
}

/// What unwrap made.
public struct Unwrapped: ~Copyable, Sendable {
    /// The plaintext.
    public let plaintext: Plaintext
    /// What is said of the envelope.
    public let opened: Opened

    /// The key that made the envelope.
    public var key: KeyID { opened.key }
    /// The version that made the envelope.
    public var version: UInt32 { opened.version }
    /// Whether the key has a newer version.
    public var isStale: Bool { opened.isStale }
    /// A new envelope of the same plaintext, when one was asked for, the old one was stale and the caller may wrap.
    public var refreshed: Wrapped? { opened.refreshed }
}

/// What rewrap made.
public struct Rewrapped: Sendable, Equatable {
    /// The new envelope, its key and its version.
    public let wrapped: Wrapped
    /// The version of the envelope given.
    public let previousVersion: UInt32
}

/// What a standard key keeps.
public struct StandardSecret: ~Copyable, Sendable {
    /// The secret.
    public let payload: Plaintext
    /// The key's id.
    public let key: KeyID
    /// The version that it is of.
    public let version: UInt32
}
