import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

extension DaemonHarness {
    /// A client of this daemon, which repeats nothing by itself unless told to.
    func client(retries: Int = 0) -> Client {
        Client(ClientOptions(socketPath: socket, deadline: .seconds(60), retries: retries))
    }

    /// The state as the daemon says it.
    var health: HealthReply {
        get throws { try client().health() }
    }

    /// Waits until the daemon is in this state; what it says then.
    @discardableResult
    func wait(for state: DaemonState) throws -> HealthReply {
        var last = try health
        let client = client()
        let isThere = try eventually {
            last = try client.health()
            return last.state == state
        }
        guard isThere else { throw HarnessError("the daemon is \(last.state.name) (\(last.reason)), not \(state.name):\n\(log)") }
        return last
    }
}

/// The refusal that a call ends with; nil, with a note to the test, when it ends otherwise.
func refusal<R: ~Copyable>(_ body: () throws(ClientError) -> R) -> RefusalCode? {
    do throws(ClientError) {
        _ = try body()
        return nil
    } catch {
        guard case .refused(let refusal) = error else {
            Issue.record("\(error)")
            return nil
        }
        return refusal.code
    }
}

/// Whether a call is made for a request: not a worker's session, opened with its first one, nor what the daemon asks by itself, now and then.
func isOfRequest(_ call: FaultModule.Call) -> Bool {
    call.function != "C_OpenSession" && ![":canary", ":audit"].contains { call.line.contains("label=\($0)") }
}

/// Plaintext out in the open: test data only.
func bytes(_ plaintext: borrowing Plaintext) -> [UInt8] { plaintext.withUnsafeBytes { Array($0) } }

/// An opened envelope of test data, its plaintext out in the open: the macros of Testing take copyable values only.
struct Opening {
    var plaintext: [UInt8]
    var opened: Opened
}

extension Client {
    /// Opens an envelope of test data.
    func opening(
        _ envelope: [UInt8], _ context: [String] = [], key: KeyReference? = nil, refresh: Bool = false
    ) throws(ClientError) -> Opening {
        let unwrapped = try unwrap(envelope, context: context, key: key, refresh: refresh)
        return Opening(plaintext: bytes(unwrapped.plaintext), opened: unwrapped.opened)
    }

    /// Has test data generated.
    func making(
        _ key: KeyReference, _ count: Int? = nil, _ context: [String] = []
    ) throws(ClientError) -> (plaintext: [UInt8], envelope: [UInt8]) {
        let made = try generate(key: key, count: count ?? Limits.defaultGenerated, context: context)
        return (bytes(made.plaintext), made.wrapped.envelope)
    }

    /// Wraps test data.
    func wrap(_ key: KeyReference, _ plaintext: [UInt8], _ context: [String] = []) throws(ClientError) -> Wrapped {
        try wrap(key: key, plaintext: plaintext.span.bytes, context: context)
    }

    /// Opens an envelope of test data.
    func open(_ envelope: [UInt8], _ context: [String] = []) throws(ClientError) -> [UInt8] {
        try opening(envelope, context).plaintext
    }
}

/// Whether the long forms of the tests were asked for.
let isLong = getenv("CLAVIGER_LONG").map { String(cString: $0) } == "1"

/// The seed of this run's random tests: CLAVIGER_SEED, or a fixed one. Printed by tests that fail.
let seed = getenv("CLAVIGER_SEED").flatMap { UInt64(String(cString: $0)) } ?? 0x00c1_a416_e200_0001

extension Opened {
    /// What unwrap should say: the library itself never makes one but from a reply.
    static func == (opened: Opened, expected: Expectation) -> Bool {
        opened.key == expected.key && opened.version == expected.version && opened.isStale == expected.isStale
            && opened.refreshed == nil
    }

    /// An answer without a refreshed envelope.
    struct Expectation {
        var key: KeyID
        var version: UInt32
        var isStale: Bool
    }
}
