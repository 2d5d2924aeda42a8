import ClavigerWire
import Glibc
import SecureMemory

/// What a worker thread can do.
enum WorkerRole: Sendable {
    /// Enters the token.
    case token
    /// Reads when the others are busy; never enters the token.
    case reserved
}

/// The locked buffers of one worker: a request, its reply and, for those that enter the token, the same for a guest.
///
/// Sendable unchecked: one thread uses it at a time; it passes from a thread that ends to the one that takes its place.
final class Arena: @unchecked Sendable {
    let request: LockedBuffer
    let reply: LockedBuffer
    /// For a small request let in between the items of a large one.
    let guestRequest: LockedBuffer?
    let guestReply: LockedBuffer?

    init(_ role: WorkerRole) throws(ServerError) {
        request = try LockedBuffer(Arena.requestSize)
        switch role {
        case .token:
            reply = try LockedBuffer(Limits.maximumReplySize)
            guestRequest = try LockedBuffer(ServerLimits.guestFrame)
            guestReply = try LockedBuffer(ServerLimits.smallReply)
        case .reserved:
            // Its requests carry no items, so their replies are small (see `RequestWorker.handle`).
            reply = try LockedBuffer(ServerLimits.smallReply)
            guestRequest = nil
            guestReply = nil
        }
    }

    /// Bytes of locked memory that an arena takes.
    static func size(_ role: WorkerRole) -> Int {
        switch role {
        case .token:
            pages(requestSize) + pages(Limits.maximumReplySize) + pages(ServerLimits.guestFrame) + pages(ServerLimits.smallReply)
        case .reserved: pages(requestSize) + pages(ServerLimits.smallReply)
        }
    }

    private static let requestSize = max(Limits.maximumFrameSize, ServerLimits.chunkSize)

    private static func pages(_ bytes: Int) -> Int {
        (bytes + SecretBytes.pageSize - 1) / SecretBytes.pageSize * SecretBytes.pageSize
    }

    /// Whether every byte is zero. For tests, while its worker is idle.
    var isWiped: Bool {
        request.isWiped && reply.isWiped && (guestRequest?.isWiped ?? true) && (guestReply?.isWiped ?? true)
    }
}

/// Locked memory at a fixed address, for who uses it alone.
final class LockedBuffer {
    let bytes: UnsafeMutableRawBufferPointer
    private let memory: SecretBytes

    init(_ count: Int) throws(ServerError) {
        var memory: SecretBytes
        do { memory = try SecretBytes(count: count) } catch { throw ServerError(error) }
        // The mapping stays where it is for as long as `memory` lives, which is as long as this object.
        bytes = memory.withUnsafeMutableBytes { $0 }
        self.memory = memory
    }

    /// The first `count` bytes.
    func prefix(_ count: Int) -> UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]) }

    /// Overwrites the first `count` bytes with zeroes.
    func wipe(_ count: Int) {
        if let base = bytes.baseAddress { explicit_bzero(base, min(count, bytes.count)) }
    }

    var isWiped: Bool { UnsafeRawBufferPointer(bytes).isZero }
}
