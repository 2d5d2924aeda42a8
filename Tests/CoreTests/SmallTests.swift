import ClavigerWire
import Cryptoki
import Support
import Testing

@testable import ClavigerCore

@Suite struct SupervisionTests {
    @Test func attemptsAreRateLimitedAndBounded() {
        var supervision = Supervision()
        #expect(supervision.due() == nil)
        supervision.reattachWanted = true
        var now: UInt64 = 1_000_000_000_000
        var waits: [UInt64] = []
        for _ in 0..<12 {
            supervision.begin(now: now)
            #expect(supervision.due() == nil)
            _ = supervision.failed(.soon, now: now)
            let due = supervision.due() ?? 0
            waits.append(due - now)
            now = due
        }
        #expect(waits.allSatisfy { $0 >= Supervision.firstInterval && $0 <= Supervision.maximumInterval })
        #expect(zip(waits, waits.dropFirst()).allSatisfy { $0 <= $1 })
        // A token that is back serves within five seconds.
        #expect(Supervision.maximumInterval < 5_000_000_000)
        supervision.attached(missing: 0, now: 0)
        supervision.begin(now: now)
        supervision.reattachWanted = true
        #expect(supervision.due() == now + Supervision.firstInterval)
    }

    /// A token that is not ours, or has no key of ours, is looked at again: soon at first, and in the end about once a minute.
    @Test func strangersAreLookedAtNowAndThen() {
        var supervision = Supervision()
        var now: UInt64 = 1_000_000_000_000
        var waits: [UInt64] = []
        for _ in 0..<12 {
            _ = supervision.failed(.nowAndThen, now: now)
            let due = supervision.due() ?? 0
            waits.append((due - now) / 1_000_000_000)
            now = due
            supervision.begin(now: now)
        }
        #expect(waits == [1, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64, 64])
        // What needs somebody waits for them.
        _ = supervision.failed(nil, now: now)
        #expect(supervision.due() == nil)
    }

    /// An attempt for which somebody did not leave the module comes later, unless the token is lost meanwhile.
    @Test func whatInterruptsTheOthersIsPostponed() {
        var supervision = Supervision()
        let now: UInt64 = 1_000_000_000_000
        supervision.postpone(now: now)
        #expect(supervision.due() == now + Supervision.postponement)
        supervision.lost(now: now)
        #expect((supervision.due() ?? .max) <= now + Supervision.maximumInterval)
    }

    @Test func aFailureThatGoesOnIsLoggedNowAndThen() {
        var supervision = Supervision()
        let start: UInt64 = 1_000_000_000_000
        var reports = 0
        for second in 0..<600 where supervision.failed(.soon, now: start + UInt64(second) * 1_000_000_000) { reports += 1 }
        #expect(reports == 10)
        supervision.attached(missing: 0, now: 0)
        let isNews = supervision.failed(.soon, now: start + 600_000_000_000)
        #expect(isNews)
    }

    @Test func searchesForMissingVersionsGrowRarer() {
        var supervision = Supervision()
        let start: UInt64 = 5_000_000_000_000
        var searches: [UInt64] = []
        for second in 0..<UInt64(4 * 3_600) {
            let now = start + second * 1_000_000_000
            guard supervision.wantRefind(now: now) else { continue }
            searches.append(second)
            #expect(supervision.due() != nil)
            supervision.begin(now: now)
            supervision.attached(missing: 1, now: 0)
        }
        #expect(searches == [0, 60, 180, 420, 900, 1_860, 3_780, 7_380, 10_980])
        supervision.attached(missing: 0, now: 0)
        let later = start + 100_000_000_000_000
        let first = supervision.wantRefind(now: later)
        let early = supervision.wantRefind(now: later + Supervision.firstRefindInterval - 1)
        let second = supervision.wantRefind(now: later + Supervision.firstRefindInterval)
        #expect(first && !early && second)
    }

    /// While something new comes all the time and never what is missing, the looks grow rarer.
    @Test func looksForNewObjectsAreBounded() {
        var supervision = Supervision()
        let start: UInt64 = 5_000_000_000_000
        func looks(from first: UInt64, _ seconds: UInt64) -> Int {
            var count = 0
            for second in 0..<seconds {
                let now = start + (first + second) * 1_000_000_000
                guard supervision.wantLook(now: now) else { continue }
                count += 1
                supervision.begin(now: now)
                supervision.attached(missing: 2, now: now)
            }
            return count
        }
        supervision.attached(missing: 2, now: start)
        #expect(looks(from: 0, 17) == Supervision.freeLooks + 1)
        #expect(looks(from: 1_000, 3_600) <= 3_600 / 64 + 6)
        // One more is found: at once again.
        supervision.attached(missing: 1, now: start)
        let soon = supervision.wantLook(now: start + 10_000 * 1_000_000_000)
        let next = supervision.wantLook(now: start + 10_000 * 1_000_000_000 + TokenService.lookInterval)
        #expect(soon && next)
    }
}

@Suite struct RandomSourceTests {
    private func fill(_ count: Int, _ session: inout Session) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(CryptokiError) in try RandomSource.fill(buffer, with: &session) }
        }
        try result.get()
        return bytes
    }

    @Test func neverZeroAndNeverTheSame() throws {
        var session = try SoftToken.shared().openSession(readWrite: false)
        var seen: Set<[UInt8]> = []
        for _ in 0..<500 {
            for count in [12, 32, RandomSource.maximumCount] {
                let bytes = try fill(count, &session)
                #expect(bytes.contains { $0 != 0 })
                #expect(seen.insert(bytes).inserted)
            }
        }
        // Every position is filled: none holds the same byte 500 times.
        let longest = seen.filter { $0.count == RandomSource.maximumCount }
        for position in 0..<RandomSource.maximumCount { #expect(Set(longest.map { $0[position] }).count > 100) }
        #expect(try fill(0, &session).isEmpty)
    }

    @Test func identifiersAreRandomUUIDs() {
        let ids = (0..<1_000).map { _ in RandomSource.identifier() as KeyID }
        #expect(Set(ids).count == 1_000)
        #expect(ids.allSatisfy { $0.high >> 12 & 0xf == 4 && $0.low >> 62 == 2 })
    }
}

@Suite struct LogLineTests {
    @Test(arguments: [
        ("plain", "plain"), ("", "\"\""), ("two words", "\"two words\""), ("a=b", "\"a=b\""), ("a\"b", "\"a\\\"b\""),
        ("a\\b", "\"a\\\\b\""), ("tab\t", "\"tab\t\""), ("ключ", "ключ"), ("del\u{7f}", "\"del\u{7f}\""),
        ("x\nuid=0 outcome=success", "\"x\nuid=0 outcome=success\""),
    ])
    func quoting(value: String, expected: String) {
        #expect(LogLine.quoted(value) == expected)
    }

    @Test func aLineIsOneLineWhateverIsInIt() async throws {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            LogLine.write(.error, "first\nevent=forged\r\u{1b}[2J\0end \(LogLine.quoted("a\nb"))")
            LogLine.write(.info, "second")
        }
        let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        let lines = text.split(separator: "\n").map { $0.drop { $0 == "<" || $0 == ">" || $0.isNumber } }
        #expect(lines == ["first event=forged  [2J end \"a b\"", "second"])
    }
}

@Suite struct KeyRoleTests {
    @Test func aNameIsFoundAgainFromItsObjectID() {
        let key = KeyID(high: 0x0123_4567_89ab_4def, low: 0x8123_4567_89ab_cdef)
        for role in KeyRole.allCases {
            for version in [1, 2, 0x0102_0304, UInt32.max] {
                let name = ObjectName(key: key, version: version, role: role)
                #expect(name.objectID.count == ObjectName.objectIDLength)
                #expect(ObjectName(objectID: name.objectID) == name)
            }
        }
        let whole = ObjectName(key: key, version: 1, role: .cipher).objectID
        #expect(whole == key.bytes + [0, 0, 0, 1, 0])
        #expect(ObjectName(objectID: Array(whole.dropLast())) == nil)
        #expect(ObjectName(objectID: whole + [0]) == nil)
        #expect(ObjectName(objectID: Array(whole.dropLast()) + [2]) == nil)
        #expect(ObjectName(objectID: []) == nil)
    }
}
