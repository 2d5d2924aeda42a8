import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Synchronization
import Testing

/// A daemon behind the fault module, with a key and an envelope that it made.
struct Faulty {
    let daemon: DaemonHarness
    let faults: FaultModule
    let key: KeyID
    let envelope: [UInt8]
    static let plaintext: [UInt8] = [4, 5, 6]

    init(_ settings: DaemonHarness.Settings = DaemonHarness.Settings(), _ rules: String...) throws {
        daemon = try DaemonHarness()
        faults = try daemon.useFaultModule(settings)
        try faults.set(rules)
        try daemon.start()
        try daemon.wait(for: .ready)
        key = try daemon.client().createKey(name: "first").id
        envelope = try daemon.client().wrap(.id(key), Faulty.plaintext).envelope
    }

    /// The calls that the running daemon has made, its probes left out.
    func calls(_ function: String) throws -> [FaultModule.Call] {
        try faults.calls(function).filter { $0.process == daemon.pid }
    }

    /// Asks for the envelope to be opened, with a deadline that runs out while C_DecryptInit hangs: again when it ran out before, as it can
    /// on a busy machine.
    func expire(_ deadline: UInt32) throws {
        func hung() throws -> Int { try calls("C_DecryptInit").count(where: \.isInjected) }
        let before = try hung()
        let item = OpenItem(envelope: ByteRange(offset: 0, count: envelope.count))
        let hangs = try eventually {
            let request = UnwrapRequest(key: nil, items: [item], refresh: false)
            let answer = try WirePeer(daemon.socket).ask(.unwrap, id: 1, request, source: envelope, deadline: deadline)
            #expect(answer.refusal == .deadline)
            return try hung() > before
        }
        #expect(hangs)
    }

    /// Takes the token away and puts it back, with the daemon seeing both.
    func blink() throws {
        try faults.set("absent")
        try daemon.wait(for: .lost)
        try faults.set()
        try daemon.wait(for: .ready)
    }

    /// The value of a family with one sample.
    func metric(_ name: String) throws -> UInt64? {
        try daemon.client().metrics().split(separator: "\n").first { $0.hasPrefix(name + " ") }
            .flatMap { UInt64($0.dropFirst(name.utf8.count + 1)) }
    }
}

/// Threads that do the same thing until they are joined.
final class Threads {
    private final class Job: Sendable {
        let body: @Sendable (Int) -> Void
        let number: Int
        init(_ number: Int, _ body: @escaping @Sendable (Int) -> Void) {
            self.number = number
            self.body = body
        }
    }
    private var threads: [pthread_t] = []

    init(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        for number in 0..<count {
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                { context in
                    guard let context else { return nil }
                    let job = Unmanaged<Job>.fromOpaque(context).takeRetainedValue()
                    job.body(job.number)
                    return nil
                }, Unmanaged.passRetained(Job(number, body)).toOpaque())
            threads.append(thread)
        }
    }

    func join() {
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }
}

/// What a load saw, put together by its threads.
final class Observations: Sendable {
    struct Seen {
        var done = 0
        var refused: [RefusalCode: Int] = [:]
        var wrong: [String] = []
        var durations: [Duration] = []
    }
    private let seen = Mutex(Seen())
    private let isEnding = Atomic(false)

    func end() { isEnding.store(true, ordering: .relaxed) }
    var hasEnded: Bool { isEnding.load(ordering: .relaxed) }
    var all: Seen { seen.withLock { $0 } }

    func note(_ duration: Duration, _ result: Result<Bool, ClientError>) {
        seen.withLock { seen in
            seen.durations.append(duration)
            switch result {
            case .success(true): seen.done += 1
            case .success(false): seen.wrong.append("another plaintext")
            case .failure(.refused(let refusal)): seen.refused[refusal.code ?? .internalError, default: 0] += 1
            case .failure(let error): seen.wrong.append("\(error)")
            }
        }
    }
}

extension [Duration] {
    /// The value below which `share` of all lie; zero of nothing.
    func quantile(_ share: Double) -> Duration {
        isEmpty ? .zero : sorted()[Swift.min(count - 1, Int(Double(count) * share))]
    }
}

extension Duration {
    var milliseconds: Double { Double(components.seconds) * 1e3 + Double(components.attoseconds) / 1e15 }
}
