import ClavigerWire
import SecureMemory

/// An envelope to be opened, with the context that it was wrapped with.
public struct SealedItem: Sendable, Equatable {
    /// The envelope's bytes, not its text form.
    public var envelope: [UInt8]
    /// The context's strings, in their order.
    public var context: [String]

    /// An item of these values.
    public init(_ envelope: [UInt8], context: [String] = []) {
        self.envelope = envelope
        self.context = context
    }
}

/// What one wrap request is to wrap: 1 to 256 items, 256 KiB of plaintext in all. The plaintext is copied to locked memory.
public struct WrapBatch: ~Copyable, Sendable {
    private(set) var items: [WrapItem] = []
    private(set) var source: RequestSource

    /// The room that a batch begins with; it doubles as items are added.
    private static let firstCapacity = 4 << 10

    /// A batch without items.
    public init() throws(ClientError) {
        source = try RequestSource(capacity: WrapBatch.firstCapacity)
    }

    /// How many items there are.
    public var count: Int { items.count }

    /// Adds bytes to be wrapped.
    ///
    /// - Throws: `refused` with `context-limit` or `frame-length`, `secureMemory`. The other limits are the daemon's to check.
    public mutating func add(_ plaintext: RawSpan, context: [String] = []) throws(ClientError) {
        let encoded = try encodeContext(context)
        try reserve(plaintext.byteCount + encoded.count)
        items.append(WrapItem(input: .given(source.add(plaintext)), context: source.add(context: encoded)))
    }

    /// Adds bytes to be wrapped; as the other `add`.
    public mutating func add(_ plaintext: borrowing SecretBytes, context: [String] = []) throws(ClientError) {
        try add(plaintext.bytes, context: context)
    }

    /// Adds a DEK of `count` bytes that the token makes.
    ///
    /// - Throws: as `add`.
    public mutating func generate(_ count: Int = Limits.defaultGenerated, context: [String] = []) throws(ClientError) {
        let encoded = try encodeContext(context)
        try reserve(encoded.count)
        items.append(WrapItem(input: .generated(Int(UInt32(clamping: count))), context: source.add(context: encoded)))
    }

    consuming func generating(_ count: Int, context: [String]) throws(ClientError) -> WrapBatch {
        try generate(count, context: context)
        return self
    }

    private mutating func reserve(_ more: Int) throws(ClientError) {
        let needed = source.buffer.count + more
        guard needed > source.buffer.capacity else { return }
        let larger = try RequestSource(capacity: max(needed, min(2 * source.buffer.capacity, Limits.maximumFrameSize)))
        source.buffer.withSpan { _ = larger.add($0) }
        source = larger
    }
}

/// The answers to a batch, in the order of its items. Plaintext stays in locked memory, wiped when this value goes.
public struct BatchReply<Item: Sendable>: ~Copyable, Sendable {
    /// For each item what was made of it, or why it was refused.
    public let results: [Result<Item, ServerRefusal>]
    private let buffer: FrameBuffer
    private let plaintexts: [ByteRange?]

    init(results: [Result<Item, ServerRefusal>], buffer: FrameBuffer, plaintexts: [ByteRange?]) {
        self.results = results
        self.buffer = buffer
        self.plaintexts = plaintexts
    }

    /// How many items there are.
    public var count: Int { results.count }

    /// Calls `body` with the plaintext of an item; nil when the item has none: it was refused, or its plaintext was given.
    public borrowing func withPlaintext<R: ~Copyable, E: Error>(
        _ index: Int, _ body: (RawSpan) throws(E) -> R
    ) throws(E) -> R? {
        guard let range = plaintexts[index] else { return nil }
        return try buffer.withSpan { (span) throws(E) -> R in try body(span.part(range)) }
    }

    /// An item's plaintext, to be kept beyond this value; nil as for `withPlaintext`.
    public borrowing func plaintext(_ index: Int) -> Plaintext? {
        guard let range = plaintexts[index] else { return nil }
        return Plaintext(buffer, range)
    }
}
