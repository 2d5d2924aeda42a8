import ClavigerWire
import Glibc
import Logging
import Synchronization
import Testing

@testable import ClavigerCore
@testable import ClavigerServer

/// A directory of the test's own, removed at its end.
final class TestDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/claviger-server-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestClientError(what: "mkdtemp: \(errorText(errno))") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                withUnsafeBytes(of: &entry.pointee.d_name) { name in
                    _ = unlinkat(dirfd(directory), name.assumingMemoryBound(to: CChar.self).baseAddress!, 0)
                }
            }
            closedir(directory)
        }
        rmdir(path)
    }
}

/// A thread of a test; its result is waited for.
final class TestThread<Result: Sendable>: Sendable {
    private let result: Mutex<Result?>
    private let thread: Mutex<ServerThread?>

    init(_ body: @escaping @Sendable () -> Result) throws {
        result = Mutex(nil)
        thread = Mutex(nil)
        let started = try ServerThread(name: "test") { [self] in
            let value = body()
            result.withLock { $0 = value }
        }
        thread.withLock { $0 = started }
    }

    func value() -> Result? {
        thread.withLock { $0.take() }?.join()
        return result.withLock { $0 }
    }
}

/// A running server on a socket of its own.
struct TestServer: Sendable {
    let server: Server
    let path: String
    let fatalities: Fatalities

    final class Fatalities: Sendable {
        let messages = Mutex<[String]>([])
        var count: Int { messages.withLock { $0.count } }
    }

    func connect() throws -> TestClient { try TestClient(path) }

    /// Starts a server, runs `body`, stops the server; afterwards every request is answered, every thread has ended, every chunk is back
    /// and no byte of what passed is left in locked memory.
    static func run(
        workers: Int = 2, service: TestService = TestService(), tuning: Server.Tuning = Server.Tuning(),
        configure: (inout Configuration) -> Void = { _ in }, _ body: (TestServer) throws -> Void
    ) throws {
        let directory = try TestDirectory()
        defer { withExtendedLifetime(directory) {} }
        var configuration = Configuration()
        configuration.socket.path = directory.path + "/s"
        configuration.workers.count = workers
        // Longer than `Patience`: only what is meant to runs out.
        configuration.requests.defaultDeadline = .seconds(60)
        configuration.requests.idleFrameTimeout = .seconds(60)
        configure(&configuration)
        let fatalities = Fatalities()
        var logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        logger.logLevel = .critical
        let server = try Server(
            configuration: configuration, handler: service, listeners: [Listener(configuration.socket)], tokenSessions: nil,
            figures: ServerCounters(), logger: logger, tuning: tuning,
            fatal: { message in fatalities.messages.withLock { $0.append(message) } })
        try server.start()
        let running = TestServer(server: server, path: configuration.socket.path, fatalities: fatalities)
        do {
            try body(running)
        } catch {
            _ = server.stop(drainTime: .seconds(1))
            throw error
        }
        let outcome = server.stop(drainTime: .seconds(Patience.seconds))
        #expect(outcome == Server.StopOutcome(unanswered: 0, stuckThreads: 0))
        running.expectNothingLeft()
    }

    func expectNothingLeft() {
        #expect(server.figures.connections == 0)
        #expect(server.figures.queued == 0)
        #expect(server.core.pool.available == server.core.pool.chunkCount)
        #expect(server.core.pool.isWiped)
        #expect(server.crew.isWiped)
        #expect(access(path, F_OK) != 0)
    }
}

/// Seeded random numbers.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
