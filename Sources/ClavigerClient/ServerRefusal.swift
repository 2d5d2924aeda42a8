import ClavigerWire

/// A refusal as the daemon sent it. A newer daemon may know more codes than this library: the number is kept as it is.
public struct ServerRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// The code's number.
    public var number: UInt32
    /// For people: what is wrong and what to do.
    public var message: String
    /// How long to wait before trying again, in milliseconds, where the daemon can tell.
    public var retryAfter: UInt32?

    /// A refusal with this number, known or not.
    public init(number: UInt32, message: String, retryAfter: UInt32? = nil) {
        self.number = number
        self.message = message
        self.retryAfter = retryAfter
    }

    /// A refusal with a known code.
    public init(_ refusal: Refusal) {
        self.init(number: refusal.code.rawValue, message: refusal.message, retryAfter: refusal.retryAfter)
    }

    /// The code; nil when this library does not know the number.
    public var code: RefusalCode? { RefusalCode(rawValue: number) }

    /// The code's symbolic name, or `unknown-` and its number.
    public var name: String { code?.name ?? "unknown-\(number)" }

    /// Whether the same request may succeed later without anything being changed about it. Of a code that is not known, only
    /// the daemon's own word to wait is evidence.
    public var isRetryable: Bool { code?.isRetryable ?? (retryAfter != nil) }

    /// `name: message`.
    public var description: String { message.isEmpty ? name : "\(name): \(message)" }
}
