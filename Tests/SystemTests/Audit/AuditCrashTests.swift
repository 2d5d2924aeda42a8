import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Synchronization
import Testing

/// kill -9 under load: every reply that a client received has its record, and no record is there twice.
@Suite struct AuditCrashTests {
    private static let rounds = isLong ? 300 : 15
    private static let clients = 4

    /// What was answered before a kill.
    private final class Answers: Sendable {
        let wraps = Mutex<[String]>([])
        let keys = Mutex<[String]>([])
    }

    @Test(arguments: ["fsync", "buffered"]) func everyReplyHasItsRecord(durability: String) throws {
        let daemon = try DaemonHarness(DaemonHarness.audit("durability = \"\(durability)\"", "context = \"clear\""))
        var generator = SeededGenerator(seed: seed)
        try daemon.start()
        let key = try daemon.client().createKey(name: "load").id
        var expected: Set<String> = []
        var created: Set<String> = []
        // A busy machine may answer nothing in a round: it goes on until there is something to look for.
        var rounds = 0
        while rounds < Self.rounds || (expected.isEmpty || created.isEmpty) && rounds < 20 * Self.rounds {
            let round = rounds
            rounds += 1
            let answered = Answers()
            let wait = Int.random(in: 5_000...120_000, using: &generator)
            // Threads, not tasks: they block, and the tests' pool of threads is small.
            let threads = (0..<Self.clients).map { number in
                Worker {
                    let client = daemon.client()
                    for count in 0... {
                        let name = "kr\(round)-c\(number)-n\(count)"
                        do throws(ClientError) {
                            if number == 0, count % 8 == 0 {
                                _ = try client.createKey(name: name)
                                answered.keys.withLock { $0.append(name) }
                            } else {
                                _ = try client.wrap(.id(key), [1], [name])
                                answered.wraps.withLock { $0.append(name) }
                            }
                        } catch {
                            return
                        }
                    }
                }
            }
            pause(microseconds: wait)
            daemon.kill()
            for thread in threads { thread.join() }
            expected.formUnion(answered.wraps.withLock { $0 })
            created.formUnion(answered.keys.withLock { $0 })
            try daemon.start()
        }
        #expect(!expected.isEmpty && !created.isEmpty)
        var wraps: [String: Int] = [:]
        var keys: [String: Int] = [:]
        for entry in try daemon.auditRecords() where entry.outcome == "success" {
            let text = String(decoding: entry.line, as: UTF8.self)
            if entry.event == "wrap", let start = text.firstRange(of: "\"contexts\":[[\"")?.upperBound {
                wraps[String(text[start...].prefix { $0 != "\"" }), default: 0] += 1
            }
            if entry.event == "key-create", let start = text.firstRange(of: "\"name\":\"kr")?.upperBound {
                keys["kr" + text[start...].prefix { $0 != "\"" }, default: 0] += 1
            }
        }
        #expect(expected.allSatisfy { wraps[$0] == 1 }, "seed \(seed): \(expected.filter { wraps[$0] != 1 }.prefix(5))")
        #expect(wraps.values.allSatisfy { $0 == 1 } && keys.values.allSatisfy { $0 == 1 })
        #expect(created.allSatisfy { keys[$0] == 1 }, "seed \(seed): \(created.filter { keys[$0] != 1 }.prefix(5))")
        let report = try #require(try daemon.verifyAudit())
        print(
            "AuditCrashTests (\(durability)): \(rounds) kills, \(expected.count) wraps and \(created.count) keys answered, "
                + "\(report.records) records, \(report.incidents.count { $0.event == "log-repaired" }) torn ends repaired")
    }
}
