import ClavigerWire
import Glibc
import Support
import Testing

/// The real daemon on its socket, which can be killed in the middle of a change.
private final class DaemonTarget: LifecycleTarget {
    let harness: DaemonHarness
    private var peer: WirePeer
    private var random: SeededRandom
    private var requests: UInt32 = 0
    /// How often a change was cut off by a kill.
    private(set) var interruptions = 0

    init(_ harness: DaemonHarness, random: SeededRandom) throws {
        self.harness = harness
        self.random = random
        peer = try WirePeer(harness.socket)
    }

    func ask(_ opcode: Opcode, _ message: some WireMessage, source: [UInt8], as person: ModelPerson) throws -> LifecycleAnswer {
        // That somebody has looked at a version is in the daemon's memory only, so a repeated destruction could be refused.
        if opcode != .versionDestroy, opcode.entry.retry == .withOperationID, Int.random(in: 0..<25, using: &random) == 0 {
            // Whatever has become of it: the same request gets the one answer that it would have had.
            requests += 1
            try peer.send(try WirePeer.frame(opcode, id: requests, message, source: source))
            pause(microseconds: .random(in: 0...20_000, using: &random))
            interruptions += 1
            try restart(isCrash: true)
        }
        requests += 1
        let frame = try peer.ask(opcode, id: requests, message, source: source)
        if let refusal = frame.refusal { return .refused(refusal) }
        return .reply(frame.body)
    }

    func restart(isCrash: Bool) throws {
        if isCrash { harness.kill() } else { harness.stop() }
        try harness.start()
        peer = try WirePeer(harness.socket)
        try waitUntilReady()
    }

    private func waitUntilReady() throws {
        let isReady = try eventually {
            requests += 1
            return try peer.ask(.health, id: requests).message(HealthReply.self).state == .ready
        }
        guard isReady else { throw HarnessError("the daemon is not ready:\n\(harness.log)") }
    }

    var sweep: (() throws -> Void)? { nil }

    var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
    }

    var advance: ((UInt64) -> Void)? { nil }
}

/// The real daemon beside a plain model of what it must answer, with clean restarts and kills, also in the middle of changes.
@Suite struct LifecycleRunTests {
    @Test(arguments: [UInt64(11), 12]) func answersNeverDiffer(seed: UInt64) throws {
        let harness = try DaemonHarness.running()
        let seed = SeededRandom.seed(0) &+ seed
        let target = try DaemonTarget(harness, random: SeededRandom(seed: seed &+ 1))
        let run = LifecycleRun(target, persons: [ModelPerson(uid: geteuid())], random: SeededRandom(seed: seed))
        try run.begin([(.enableDelay, 0), (.restoreDelay, 0), (.purgeDelay, 0), (.rotationIntervalMinimum, 0)])
        let changes: [Opcode] = [
            .keyCreate, .keyUpdate, .keyDisable, .keyEnable, .keyDelete, .keyRestore, .keyPurge, .keyRotate, .wrap, .unwrap,
            .rewrap, .keyRead, .importTokenCreate, .importTokenTake,
        ]
        try run.steps(SeededRandom.isLong ? 8_000 : 400, covering: changes)
        try run.restart(isCrash: true)
        try run.restart(isCrash: false)
        #expect(target.interruptions > 0)
        for opcode in changes where run.done[opcode.entry.name] == nil { Issue.record("\(opcode.entry.name) was never done") }
    }
}
