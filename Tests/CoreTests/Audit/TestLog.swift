import COpenSSL
import ClavigerWire
import Glibc
import Logging
import SecureMemory
import Synchronization
import Testing

@testable import ClavigerCore

/// A P-256 pair in memory, in place of the token's: the log's own tests need signatures, not a token.
final class TestSigner: @unchecked Sendable {
    // Sendable: libcrypto's key is read only after it was made.
    private let pair: OpaquePointer
    let publicKey: SigningPublicKey
    /// Whether the token is away.
    let isAway = Atomic(false)

    init() throws {
        pair = try #require(makePair())
        var length = 0
        var point = [UInt8](repeating: 0, count: 133)
        try #require(EVP_PKEY_get_octet_string_param(pair, "encoded-pub-key", &point, point.count, &length) == 1)
        publicKey = try #require(SigningPublicKey(point: Array(point.prefix(length))))
    }

    deinit { EVP_PKEY_free(pair) }

    func sign(_ digest: [UInt8]) throws(SigningFailure) -> [UInt8] {
        guard !isAway.load(ordering: .relaxed) else { throw .unavailable("away") }
        guard let context = EVP_PKEY_CTX_new_from_pkey(nil, pair, nil) else { throw .wrongSignature }
        defer { EVP_PKEY_CTX_free(context) }
        var der = [UInt8](repeating: 0, count: 80)
        var length = der.count
        guard EVP_PKEY_sign_init(context) == 1, EVP_PKEY_sign(context, &der, &length, digest, digest.count) == 1 else {
            throw .wrongSignature
        }
        // Ecdsa-Sig-Value: a sequence of two integers, each with a leading zero or shorter than 32 bytes.
        func integer(_ place: inout Int) -> [UInt8] {
            let count = Int(der[place + 1])
            let bytes = der[(place + 2)..<(place + 2 + count)].drop { $0 == 0 }
            place += 2 + count
            return [UInt8](repeating: 0, count: 32 - bytes.count) + bytes
        }
        var place = 2
        let r = integer(&place)
        return r + integer(&place)
    }
}

private func makePair() -> OpaquePointer? {
    guard let context = EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else { return nil }
    defer { EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_group_name(context, "prime256v1") == 1,
        EVP_PKEY_generate(context, &key) == 1
    else { return nil }
    return key
}

/// An audit log in a directory of its own.
final class TestLog {
    let directory: TemporaryDirectory
    let signer: TestSigner
    let anchor = Anchor()
    let clock = ManualClock()
    let epoch = Epoch()
    static let instance = InstanceID(high: 1, low: 2)
    private(set) var log: AuditLog

    /// Dates and the passing of time, both moved by hand.
    final class ManualClock: Sendable {
        let date = Atomic<UInt64>(1_800_000_000_000)
        let ticks = Atomic<UInt64>(1_000_000_000_000)

        /// Lets milliseconds pass.
        func pass(_ milliseconds: UInt64) {
            date.add(milliseconds, ordering: .relaxed)
            ticks.add(milliseconds * 1_000_000, ordering: .relaxed)
        }
    }

    /// What the database keeps.
    final class Anchor: Sendable {
        let position = Mutex<AuditPosition?>(nil)
    }

    /// The database's epoch, as checkpoints are to say it.
    final class Epoch: Sendable {
        private let value = Mutex<UInt64?>(nil)
        func withLock<R>(_ body: (inout sending UInt64?) -> sending R) -> sending R { value.withLock(body) }
    }

    init(_ change: (inout AuditLog.Settings) -> Void = { _ in }) throws {
        directory = try TemporaryDirectory()
        signer = try TestSigner()
        var settings = AuditLog.Settings(directory: directory.file("audit"))
        // Only what is meant to hang counts as hanging.
        settings.flushPatience = 60_000_000_000
        change(&settings)
        log = TestLog.make(settings, signer, anchor, clock, epoch)
        _ = log.open()
    }

    private static func make(
        _ settings: AuditLog.Settings, _ signer: TestSigner, _ anchor: Anchor, _ clock: ManualClock, _ epoch: Epoch
    ) -> AuditLog {
        var surroundings = AuditLog.Surroundings(log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
            digest throws(SigningFailure) in try signer.sign(digest)
        }
        surroundings.time = TimeSource { clock.date.load(ordering: .relaxed) }
        surroundings.monotonic = { clock.ticks.load(ordering: .relaxed) }
        surroundings.epoch = { epoch.withLock { $0 } }
        surroundings.anchor = { position in anchor.position.withLock { $0 = position } }
        return AuditLog(
            settings: settings, instance: instance, anchor: anchor.position.withLock { $0 }, surroundings: surroundings)
    }

    /// Gives the log up without a word, as a crash does, and opens it anew.
    func reopen(_ between: () throws -> Void = {}) throws {
        let settings = log.settings
        log = TestLog.make(settings, signer, anchor, clock, epoch)
        try between()
        log = TestLog.make(settings, signer, anchor, clock, epoch)
        _ = log.open()
    }

    var path: String { log.settings.directory }

    /// Appends `count` records.
    func append(_ count: Int, flushed: Bool = false) throws {
        for index in 0..<count {
            var record = AuditRecord(event: "wrap", time: 1_800_000_000_000 + UInt64(index))
            record.target.key = KeyID(high: 7, low: UInt64(index))
            try log.append(record.body(TestLog.instance), flushed: flushed)
        }
    }

    /// Goes on with the chain as anybody can who may write the newest file.
    func forge(_ count: Int) throws {
        let segment = try #require(try segments.last)
        let line = try #require(try lines().last).utf8
        let parts = try #require(Array(line).withUnsafeBytes { AuditLine.parts($0) })
        var position = AuditPosition(sequence: parts.sequence, hash: AuditHash(of: Array(line)))
        var lines: [UInt8] = []
        for _ in 0..<count {
            let body = AuditRecord(event: "unwrap", time: 1_800_000_000_000).body(TestLog.instance)
            position = AuditLine.append(body, after: position, to: &lines)
        }
        let file = open(segment.path, O_WRONLY | O_APPEND | O_CLOEXEC)
        defer { close(file) }
        try #require(write(file, lines, lines.count) == lines.count)
    }

    var segments: [AuditSegment] { get throws { try AuditSegment.list(path) } }

    /// All lines of all segments.
    func lines() throws -> [String] {
        try segments.flatMap { segment in
            String(decoding: try read(segment.path), as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    func read(_ path: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        let end = try AuditLines.read(path, failed: { $0 }) { (line, _) throws(FileError) in bytes += Array(line) + [0x0a] }
        guard end.rest > 0 else { return bytes }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        var rest = [UInt8](repeating: 0, count: end.rest)
        pread(file, &rest, end.rest, off_t(end.offset))
        return bytes + rest
    }

    /// Changes one segment's lines.
    func edit(_ segment: AuditSegment, _ change: (inout [String]) -> Void) throws {
        var lines = String(decoding: try read(segment.path), as: UTF8.self).split(separator: "\n").map(String.init)
        change(&lines)
        try overwrite(segment.path, Array((lines.joined(separator: "\n") + "\n").utf8))
    }

    func overwrite(_ path: String, _ bytes: [UInt8]) throws {
        let file = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0o600)
        try #require(file >= 0)
        defer { close(file) }
        try #require(write(file, bytes, bytes.count) == bytes.count)
    }

    /// What the verifier says of all segments.
    func verify(head: AuditHead? = nil) throws(AuditVerifier.Finding) -> AuditVerifier.Report {
        let found = (try? segments) ?? []
        var verifier = try AuditVerifier(key: signer.publicKey, head: head)
        for segment in found { try verifier.feed(segment.path) }
        return try verifier.finish()
    }

    /// What is wrong with it.
    func finding(head: AuditHead? = nil) -> String? {
        do throws(AuditVerifier.Finding) {
            _ = try verify(head: head)
            return nil
        } catch {
            return error.reason
        }
    }
}

final class Shared<Value: ~Copyable & Sendable>: Sendable {
    let value: Value
    init(_ value: consuming Value) { self.value = value }
}
