import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// A kill, a torn write, a full disk and a broken one at every single write of a set-up, a login and a key generation: whatever was
/// acknowledged is there afterwards, and nothing has to be mended by hand.
@Suite struct WriteTests {
    /// How many points of each way the everyday check tries; the long one tries all.
    private static let everyday = 6

    private static func chosen(_ count: Int, _ mode: CrashPoints.Mode) -> [Int] {
        var generator = SeededGenerator(seed: seed ^ UInt64(mode.rawValue.utf8.count))
        return sample(count, isLong ? .max : everyday, using: &generator)
    }

    /// `token init` cut off anywhere is completed by the next run.
    @Test(arguments: CrashPoints.Mode.allCases) func setUpIsResumed(mode: CrashPoints.Mode) throws {
        guard CrashPoints.isPossible else { return skip("WriteTests.setUpIsResumed", "a sanitizer is preloaded") }
        let counted = try DaemonHarness(initialised: false)
        let all = CrashPoints([counted.state, counted.tokens], log: counted.directory + "/points")
        #expect(try counted.initialise(environment: all.counting()).status == 0)
        let points = try all.points()
        #expect(points.count > 500, "few points: is the library loaded?")
        // The token itself is made at the beginning, and most of its points are there: some of them always.
        let first = (points.firstIndex { $0.contains("mkdir \(counted.tokens)/") } ?? 0) + 1
        let token = sampleWithin(first, 50, mode)
        for point in Set(Self.chosen(points.count, mode) + token).sorted() {
            let daemon = try DaemonHarness(initialised: false)
            let crash = CrashPoints([daemon.state, daemon.tokens], log: daemon.directory + "/points")
            let cut = try daemon.initialise(environment: crash.at(point, mode))
            let comment = Comment("\(mode) at \(point): \(points[min(point, points.count) - 1])")
            if mode == .full || mode == .broken, cut.status != 0 { #expect(cut.status == 1 && !cut.errorText.isEmpty, comment) }
            let resumed = try daemon.initialise()
            #expect(resumed.status == 0, "\(comment.rawValue): \(resumed.errorText)")
            for file in [daemon.pinFile, daemon.securityOfficerPINFile] { #expect(try readFile(file).count == 32, comment) }
            try daemon.start()
            #expect(try daemon.health.state == .ready, comment)
        }
    }

    private func sampleWithin(_ first: Int, _ count: Int, _ mode: CrashPoints.Mode) -> [Int] {
        isLong ? [] : Self.chosen(count, mode).map { first + $0 }
    }

    /// The daemon's login and the making of a key.
    @Test(arguments: CrashPoints.Mode.allCases) func loginAndKeyGeneration(mode: CrashPoints.Mode) throws {
        guard CrashPoints.isPossible else { return skip("WriteTests.loginAndKeyGeneration", "a sanitizer is preloaded") }
        try playAll(mode, Self.directories)
    }

    /// The same with a disk that fails under the database, the audit log and the login's marker, and not under the token.
    @Test(arguments: [CrashPoints.Mode.full, .broken]) func aFullDiskUnderTheDatabase(mode: CrashPoints.Mode) throws {
        guard CrashPoints.isPossible else { return skip("WriteTests.aFullDiskUnderTheDatabase", "a sanitizer is preloaded") }
        try playAll(mode) { daemon, _ in [daemon.state] }
    }

    private func playAll(_ mode: CrashPoints.Mode, _ directories: (DaemonHarness, CrashPoints.Mode) -> [String]) throws {
        let counted = try DaemonHarness()
        let below = directories(counted, mode).map { $0 == counted.state ? "database" : "token" }.joined(separator: " and ")
        let all = CrashPoints(directories(counted, mode), log: counted.directory + "/points")
        try counted.start(environment: all.counting())
        let atReady = try all.points().count
        _ = try counted.client().createKey(name: "made")
        let points = try all.points()
        counted.stop()
        // A key is a file to the token and a few rows to the database.
        #expect(atReady > 2 && points.count > atReady + (below == "database" ? 5 : 50), "few points: is the library loaded?")
        var outcome = (answered: 0, refused: 0, cut: 0)
        // What the token swallows are the last errors of a creation: those always.
        let last = mode == .full || mode == .broken ? Array(max(1, points.count - 3)...points.count) : []
        for point in Set(Self.chosen(points.count, mode) + last).sorted() {
            let comment = Comment("\(mode) at \(point): \(points[point - 1])")
            try play(point, mode, directories, comment, &outcome)
        }
        print("WriteTests: \(mode) under the \(below): \(points.count) points, \(outcome)")
    }

    /// The disk that fails is the token's alone: a database that fails as well would hide what the token swallows.
    private static func directories(_ daemon: DaemonHarness, _ mode: CrashPoints.Mode) -> [String] {
        switch mode {
        case .kill, .tear: [daemon.state, daemon.tokens]
        case .full, .broken: [daemon.tokens]
        }
    }

    private func play(
        _ point: Int, _ mode: CrashPoints.Mode, _ directories: (DaemonHarness, CrashPoints.Mode) -> [String], _ comment: Comment,
        _ outcome: inout (answered: Int, refused: Int, cut: Int)
    ) throws {
        let daemon = try DaemonHarness()
        try daemon.start()
        let before = try daemon.client().createKey(name: "before").id
        let envelope = try daemon.client().wrap(.id(before), [1, 2, 3]).envelope
        daemon.stop()
        let crash = CrashPoints(directories(daemon, mode), log: daemon.directory + "/points")
        var made: KeyRecord?
        var late: [UInt8]?
        do {
            try daemon.start(environment: crash.at(point, mode))
            made = try daemon.client().createKey(name: "made")
            late = try daemon.client().wrap(.name("made"), [4, 5]).envelope
            outcome.answered += 1
        } catch let error as ClientError {
            if case .refused = error { outcome.refused += 1 } else { outcome.cut += 1 }
        } catch {
            // It ended while it started.
            outcome.cut += 1
        }
        daemon.kill()
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .ready, "\(comment.rawValue): \(health.reason)")
        let client = daemon.client()
        #expect(try client.open(envelope) == [1, 2, 3], comment)
        var names: [String] = []
        try client.forEachKey { (key) throws(ClientError) in names.append(key.name) }
        if let made {
            #expect(names.contains(made.name), "\(comment.rawValue): an acknowledged key is gone")
            let sealed = try client.wrap(.id(made.id), [7]).envelope
            #expect(try client.open(sealed) == [7], comment)
        }
        if let late { #expect(try client.open(late) == [4, 5], comment) }
        #expect(names.filter { $0 != "before" && $0 != "made" }.isEmpty && names.count <= 2, comment)
    }
}
