import ClavigerClient
import Glibc

/// Where input comes from: a file, or stdin.
struct Input: ~Copyable {
    /// The name for messages.
    let name: String
    private let file: Int32
    private let isOurs: Bool

    /// Opens the file that is named; stdin when none is.
    ///
    /// - Parameter what: what is read, for messages.
    init(_ path: String?, what: String) throws(CommandFailure) {
        guard let path, path != "-" else {
            guard isatty(STDIN_FILENO) == 0 else {
                throw .usage("\(what) is read from stdin, which is a terminal", "pipe it in, or name a file with --in FILE")
            }
            name = "stdin"
            file = STDIN_FILENO
            isOurs = false
            return
        }
        let opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard opened >= 0 else { throw .failed("cannot read \(path): \(systemError(errno))", "check its name and rights") }
        name = path
        file = opened
        isOurs = true
    }

    deinit {
        if isOurs { close(file) }
    }

    /// Everything there is, in locked memory; nil when it is more than `limit` bytes.
    borrowing func readSecret(limit: Int) throws(CommandFailure) -> SecretBytes? {
        // One byte more than the limit tells too much from just enough.
        var buffer = try lockedMemory(limit + 1)
        let descriptor = file
        let count = buffer.withUnsafeMutableBytes { readAll(descriptor, $0) }
        guard let count else { throw .failed("cannot read \(name): \(systemError(errno))") }
        guard count <= limit else { return nil }
        do throws(SecureMemoryError) {
            return try buffer.prefix(count)
        } catch {
            throw CommandFailure(.secureMemory(error), key: nil)
        }
    }

    /// What a standard key is to keep, in locked memory: the bytes as they are.
    borrowing func readPayload() throws(CommandFailure) -> SecretBytes {
        guard let payload = try readSecret(limit: Limits.maximumPayload) else {
            throw .failed(
                "\(name) holds more than \(Limits.maximumPayload) bytes, the most that a standard key keeps",
                "wrap a data key, encrypt the data with it, and keep that")
        }
        guard payload.count > 0 else { throw .failed("\(name) is empty: there is no secret", "give 1 to 7500 bytes") }
        return payload
    }

    /// An envelope in either form; its bytes.
    borrowing func readEnvelope() throws(CommandFailure) -> [UInt8] { try readEnvelopeAndForm().envelope }

    /// An envelope, and whether it stood there as text.
    borrowing func readEnvelopeAndForm() throws(CommandFailure) -> (envelope: [UInt8], isText: Bool) {
        let limit = max(EnvelopeText.maximumLength, Envelope.maximumLength)
        var buffer = [UInt8](repeating: 0, count: limit + 1)
        let descriptor = file
        let count = buffer.withUnsafeMutableBytes { readAll(descriptor, $0) }
        guard let count else { throw .failed("cannot read \(name): \(systemError(errno))") }
        guard count > 0 else { throw .failed("\(name) is empty: there is no envelope", "give the envelope that wrap wrote") }
        let bytes = Array(buffer[..<count])
        do throws(Refusal) {
            let isText = EnvelopeText.hasPrefix(bytes.span.bytes)
            let envelope = isText ? try EnvelopeText.decode(bytes.span.bytes) : bytes
            _ = try Envelope(envelope.span.bytes)
            return (envelope, isText)
        } catch {
            throw CommandFailure(error)
        }
    }
}

/// Locked memory of `count` zero bytes.
func lockedMemory(_ count: Int) throws(CommandFailure) -> SecretBytes {
    do throws(SecureMemoryError) {
        return try SecretBytes(count: count)
    } catch {
        throw CommandFailure(.secureMemory(error), key: nil)
    }
}

/// Reads until the buffer is full or the input ends; nil, with errno, when it fails.
private func readAll(_ file: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int? {
    var count = 0
    while count < buffer.count {
        let received = read(file, buffer.baseAddress.map { $0 + count }, buffer.count - count)
        if received == 0 { break }
        if received > 0 { count += received } else if errno != EINTR { return nil }
    }
    return count
}
