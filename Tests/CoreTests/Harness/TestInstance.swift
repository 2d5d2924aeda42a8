import ClavigerAdmin
import ClavigerWire
import Cryptoki
import Glibc
import Logging
import SecureMemory
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// A whole instance with its service on a token of its own. The module belongs to the process, so this is for child processes of exit
/// tests only, one instance each.
final class TestInstance {
    let store: SoftTokenStore
    let configuration: Configuration
    /// The clock of dates: it stands still until it is moved, through restarts too.
    let clock = TestClock()
    // The lock on the token's storage ends with the service, so there is never a second one.
    private var running: Service?
    private let isRecorded: Bool

    static let pin = "user-pin-of-the-tests"

    /// Makes a token and an instance on it, and takes hold of the token.
    ///
    /// - Parameters:
    ///   - pinFile: whether the daemon finds its PIN in a file; else it waits for `unlock`.
    ///   - durability: how an audit log is kept; nil for none.
    init(pinFile: Bool = true, durability: String? = nil) throws {
        store = try SoftTokenStore()
        SoftToken.activate(store)
        let source = pinFile ? "pin-file = \"\(store.directory)/pin\"" : ""
        let text = """
            state-directory = "\(store.directory)/state"
            [module]
            path = "\(try SoftToken.modulePath())"
            storage-path = "\(store.tokens)"
            storage-format = "attribute-files"
            software-token = true
            [token]
            uri = "pkcs11:token=test"
            \(source)
            \(durability.map { "[audit]\ndurability = \"\($0)\"" } ?? "")
            """
        isRecorded = durability != nil
        configuration = try Configuration.parse(Array(text.utf8), file: "test.toml")
        var request = TokenInit.Request()
        request.userPIN = try TestInstance.secret(TestInstance.pin)
        _ = try TokenInit(configuration: configuration, request: request, report: { _ in }, show: { _, _ in true }).run()
        if pinFile { try Files.replace(store.directory + "/pin", with: Array(TestInstance.pin.utf8).span.bytes, mode: 0o400) }
        try begin()
    }

    private func begin() throws {
        let service = try Service(
            configuration: configuration, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, records: isRecorded,
            time: clock.source, whenStuck: { Issue.record("\($0)") })
        service.token.start()
        service.audit?.start()
        running = service
    }

    /// The service that runs.
    var service: Service {
        get throws { try #require(running) }
    }

    static func secret(_ text: String) throws -> SecretBytes { try SecretBytes(copying: Array(text.utf8).span.bytes) }

    /// Ends the service and begins another, as a restart of the daemon would; `between` has the files to itself.
    func restart(_ between: () throws -> Void = {}) throws {
        running?.token.stop()
        running = nil
        try between()
        try begin()
    }

    /// The service's token.
    var token: TokenService {
        get throws { try service.token }
    }

    /// What the service can do now.
    var status: TokenService.Status {
        get throws { try token.currentStatus }
    }

    /// The names of the token's files that hold keys; its memory of the database's epoch is a file too, and another one after each change.
    ///
    /// - Parameter isAlone: whether to wait until nobody else is at the token; false for who holds up one who is.
    func objectFiles(isAlone: Bool = true) throws -> Set<String> {
        // CKA_CLASS stands first, with CKO_DATA for a number.
        let data: [UInt8] = [UInt8](repeating: 0, count: 15) + [2] + [UInt8](repeating: 0, count: 8)
        let token = try token
        let files = try #require(token.files)
        // Alone with the token: a supervisor that runs beside the test replaces the memory's file when it likes, and one that is half made,
        // or gone since it was listed, must not be counted or missed.
        func found() throws -> Set<String> {
            try files.objects().filter { try Array(Files.read($0).dropFirst(8).prefix(24)) != data }
        }
        guard isAlone else { return try found() }
        // A token that is not held is touched by nobody.
        return try token.manage { (_, _) throws(Never) in Result { try found() } }?.get() ?? found()
    }

    /// A change under an operation id of the caller's choice.
    static func change(_ operation: UInt64, _ opcode: Opcode, _ target: TokenService.Change.Target) -> TokenService.Change {
        TokenService.Change(
            operation: OperationID(high: 7, low: operation), caller: root, opcode: opcode, body: [UInt8(operation)],
            target: target)
    }

    /// A root key as it is to be made.
    static func key(_ name: String) -> StoredKey {
        StoredKey(id: RandomSource.identifier(), name: name, state: .active, created: 0, version: 1)
    }

    /// Who asks, unless somebody else is named.
    static let root = Caller(pid: 1, uid: 0, gid: 0, groups: [], unit: nil, pidfdVerified: true)

    /// Makes a change as a worker does.
    func perform(_ change: TokenService.Change) throws -> KeyRecord {
        let session = try TokenSession()
        let token = try token
        _ = try token.enter(session)
        defer { token.leave(session) }
        return try token.perform(change)
    }

    /// The intent that `change` leaves when the daemon is killed right after writing it down.
    func leaveIntent(
        _ change: TokenService.Change, key: KeyID, name: String = "", version: UInt32, details: [UInt8] = []
    ) throws {
        let intent = Intent(
            operation: change.operation, uid: change.uid, opcode: change.opcode,
            bodyDigest: change.digest, key: key, name: name, version: version, suite: .aesGCM,
            created: clock.now, state: .open, reply: [], details: details)
        try token.store.begin(intent, forgetBefore: 0)
    }

    /// Makes an object that no record speaks of.
    func makeObject(_ name: ObjectName) throws {
        let token = try token
        _ = try token.manage { (session, _) throws(ObjectFailure) in try token.factory.make(name, .aesGCM, session: &session) }
    }

    /// Has a new worker do one request.
    func ask<R>(
        _ opcode: Opcode, _ message: some WireMessage, source: [UInt8] = [], as caller: Caller? = nil, read: (RawSpan) throws -> R
    ) throws -> R {
        try TestInstance.ask(service, opcode, message, source: source, as: caller, read: read)
    }

    /// Has a new worker of a service do one request.
    static func ask<R>(
        _ service: Service, _ opcode: Opcode, _ message: some WireMessage, source: [UInt8] = [], as caller: Caller? = nil,
        read: (RawSpan) throws -> R
    ) throws -> R {
        let worker = service.makeWorker(entersToken: true)
        var frame = [UInt8](repeating: 0, count: 64 << 10)
        var reply = [UInt8](repeating: 0, count: Limits.maximumReplySize)
        let length = try #require(
            frame.withUnsafeMutableBytes {
                FrameWriter.request(message, opcode: opcode, requestID: 1, source: source.span.bytes, into: $0)
            })
        let header = try FrameHeader(frame.span.bytes)
        let answered = frame.withUnsafeBytes { frame in
            reply.withUnsafeMutableBytes { reply in
                defer { worker.delivered() }
                return worker.handle(
                    IncomingRequest(header: header, opcode: opcode, caller: caller ?? TestInstance.root, deadline: .max),
                    frame: UnsafeRawBufferPointer(rebasing: frame[..<length]), reply: reply, scheduling: Alone())
            }
        }
        let answer = Array(reply.prefix(answered))
        let answerHeader = try FrameHeader(answer.span.bytes)
        let body = Array(answer.dropFirst(Limits.headerLength))
        guard answerHeader.kind == .reply else {
            let refusal = try RefusalBody.decode(body.span.bytes)
            throw Refusal(try #require(RefusalCode(rawValue: answerHeader.detail)), refusal.message)
        }
        return try read(body.span.bytes)
    }

    private struct Alone: RequestScheduling {
        var isAbandoned: Bool { false }
        func letOthersIn() {}
    }

    /// Wraps one plaintext.
    func wrap(_ plaintext: [UInt8], _ key: KeyID) throws -> [UInt8] {
        let range = ByteRange(offset: 0, count: plaintext.count)
        return try ask(.wrap, WrapRequest(key: .id(key), items: [WrapItem(input: .given(range))]), source: plaintext) { body in
            let item = try CipherReply.decode(body).items[0]
            if let code = RefusalCode(rawValue: item.code) { throw Refusal(code, item.message) }
            return body.part(try #require(item.envelope)).array()
        }
    }

    /// What unwrapping one envelope gave.
    struct Unwrapped: Equatable {
        var plaintext: [UInt8]
        var fresh: [UInt8]?
        var isStale: Bool?
    }

    /// Unwraps one envelope.
    func unwrap(_ envelope: [UInt8], refresh: Bool = false) throws -> Unwrapped {
        try TestInstance.unwrap(envelope, service, refresh: refresh)
    }

    /// Unwraps one envelope with a service.
    static func unwrap(_ envelope: [UInt8], _ service: Service, refresh: Bool = false) throws -> Unwrapped {
        let item = OpenItem(envelope: ByteRange(offset: 0, count: envelope.count))
        return try ask(service, .unwrap, UnwrapRequest(key: nil, items: [item], refresh: refresh), source: envelope) { body in
            let item = try CipherReply.decode(body).items[0]
            if let code = RefusalCode(rawValue: item.code) { throw Refusal(code, item.message) }
            return Unwrapped(
                plaintext: body.part(try #require(item.plaintext)).array(), fresh: item.envelope.map { body.part($0).array() },
                isStale: item.stale)
        }
    }
}

/// A clock of dates that stands still until it is moved.
final class TestClock: Sendable {
    private let moment = Mutex<UInt64>(Clock.date())

    private struct Interruption {
        var left = 0
        var body: (@Sendable () -> Void)?
    }

    private let interruption = Mutex(Interruption())

    var now: UInt64 { moment.withLock { $0 } }
    var source: TimeSource {
        TimeSource {
            let due = self.interruption.withLock { interruption -> (@Sendable () -> Void)? in
                guard interruption.left > 0 else { return nil }
                interruption.left -= 1
                return interruption.left == 0 ? interruption.body.take() : nil
            }
            due?()
            return self.now
        }
    }

    /// Runs `body` when the service asks for the time for the `count`th time from now: in the midst of a request.
    func interrupt(at count: Int, _ body: @escaping @Sendable () -> Void) {
        interruption.withLock { $0 = Interruption(left: count, body: body) }
    }

    /// Forgets an interruption that has not come.
    ///
    /// - Returns: whether there was one.
    func forgetInterruption() -> Bool {
        interruption.withLock { interruption in
            defer { interruption = Interruption() }
            return interruption.body != nil
        }
    }

    /// Moves on.
    func advance(_ milliseconds: UInt64) { moment.withLock { $0 += milliseconds } }

    /// Stands at this moment from now on.
    func set(_ now: UInt64) { moment.withLock { $0 = now } }
}
