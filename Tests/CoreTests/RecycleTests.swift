import ClavigerWire
import Cryptoki
import Glibc
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// New initialisations of the module: for the memory that it keeps, and a thousand of them under load.
@Suite struct RecycleTests {
    /// What a module keeps for objects of the past is bounded by a new initialisation between requests, which nobody notices.
    @Test func leaksAreBoundedByCount() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            let envelope = try instance.wrap([1], key)
            #expect(try instance.token.supervision.withLock { $0.due() } == nil)
            ObjectTally.add(TokenService.recycleBound - ObjectTally.count - 1)
            _ = try instance.unwrap(envelope)
            #expect(try instance.token.supervision.withLock { $0.due() } == nil, "one below the bound")
            ObjectTally.add(1)
            _ = try instance.unwrap(envelope)
            #expect(try instance.token.supervision.withLock { $0.due() } != nil)
            #expect(try instance.status.state == .ready)
            try instance.token.attach(presented: nil)
            // What taking hold of the token makes itself is little.
            #expect(ObjectTally.count < 100)
            #expect(try instance.unwrap(envelope).plaintext == [1])
            // Not again within the interval, however many objects there are.
            try instance.token.supervision.withLock { $0.begin(now: 0) }
            ObjectTally.add(TokenService.recycleBound)
            _ = try instance.unwrap(envelope)
            #expect(try instance.token.supervision.withLock { $0.due() } == nil)
        }
    }

    /// Lesson C9: whatever somebody else in the process does to module and login, requests are refused, and one new initialisation has
    /// all keys again.
    @Test func c9_somebodyElseEndsTheLogin() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            let envelope = try instance.wrap([1], key)
            let token = try instance.token
            let ways: [(Module, SlotID) throws -> Void] = [
                { module, slot in
                    var session = try module.openSession(slot, readWrite: false)
                    try session.logout()
                    try session.close()
                }, { module, _ in try module.finalize() },
                { module, _ in
                    try module.finalize()
                    try module.initialize()
                },
            ]
            for (number, way) in ways.enumerated() {
                try way(token.module, try #require(token.live.withLock { $0?.slot }))
                let refusal = #expect(throws: Refusal.self, "way \(number)") { try instance.unwrap(envelope) }
                #expect(refusal?.code == .tokenUnavailable, "way \(number)")
                #expect(try instance.status.state == .lost, "way \(number)")
                token.attach(presented: nil)
                #expect(try instance.status.state == .ready, "way \(number)")
                #expect(try instance.unwrap(envelope).plaintext == [1])
            }
        }
    }

    /// Lesson C9: initialised anew under load a thousand times, the process keeps its memory and never takes a wrong key.
    @Test func c9_newInitialisationsUnderLoad() async throws {
        let ended = try await #require(processExitsWith: .success, observing: [\.standardOutputContent]) {
            let rounds = getenv("CLAVIGER_LONG") == nil ? 20 : 1_000
            let instance = try TestInstance()
            let keys = try (1...3).map {
                try instance.perform(TestInstance.change($0, .keyCreate, .create(TestInstance.key("key \($0)")))).id
            }
            let load = Load(
                instance, keys: keys, envelopes: try keys.enumerated().map { try instance.wrap([UInt8($0.offset)], $0.element) })
            let threads = load.start(2)
            for _ in 0..<100_000 where load.done.load(ordering: .relaxed) == 0 { usleep(200) }
            var sizes: [Int] = []
            for round in 0..<rounds {
                try instance.token.attach(presented: nil)
                #expect(try instance.status.state == .ready)
                if round >= rounds / 5 { sizes.append(residentPages()) }
            }
            load.isEnding.store(true, ordering: .relaxed)
            for thread in threads { pthread_join(thread, nil) }
            #expect(load.wrong.load(ordering: .relaxed) == 0)
            #expect(load.done.load(ordering: .relaxed) >= rounds / 2)
            // The first part fills caches; then it may not grow by more than a tenth and a megabyte.
            let early = sizes.prefix(max(1, sizes.count / 10)).max() ?? 0
            let late = sizes.suffix(max(1, sizes.count / 10)).min() ?? 0
            #expect(late <= early + early / 10 + 256, "\(early) pages, then \(late)")
            print(
                "RecycleTests: \(rounds) new initialisations, \(load.done.load(ordering: .relaxed)) requests, \(early) then \(late) pages"
            )
        }
        // What a child process prints is nobody's to see.
        for line in String(decoding: ended.standardOutputContent, as: UTF8.self).split(separator: "\n")
        where line.hasPrefix("RecycleTests:") { print(line) }
    }

    /// Threads that unwrap, each with a worker of its own.
    private final class Load: @unchecked Sendable {
        // Sendable: what is not constant is atomic; `TestInstance` is only asked for new workers, which share nothing.
        let instance: TestInstance
        let keys: [KeyID]
        let envelopes: [[UInt8]]
        let isEnding = Atomic(false)
        let wrong = Atomic(0)
        let done = Atomic(0)

        init(_ instance: TestInstance, keys: [KeyID], envelopes: [[UInt8]]) {
            self.instance = instance
            self.keys = keys
            self.envelopes = envelopes
        }

        func start(_ count: Int) -> [pthread_t] {
            (0..<count).map { _ in
                var thread = pthread_t()
                pthread_create(
                    &thread, nil,
                    { context in
                        guard let context else { return nil }
                        Unmanaged<Load>.fromOpaque(context).takeRetainedValue().run()
                        return nil
                    }, Unmanaged.passRetained(self).toOpaque())
                return thread
            }
        }

        private func run() {
            var round = 0
            while !isEnding.load(ordering: .relaxed) {
                let index = round % keys.count
                round += 1
                do {
                    if try instance.unwrap(envelopes[index]).plaintext != [UInt8(index)] { wrong.add(1, ordering: .relaxed) }
                    done.add(1, ordering: .relaxed)
                } catch let refusal as Refusal where refusal.code == .tokenUnavailable {
                } catch {
                    Issue.record("\(error)")
                    wrong.add(1, ordering: .relaxed)
                }
            }
        }
    }
}

/// Pages of this process that are in memory: the second number of /proc/self/statm (proc(5)).
private func residentPages() -> Int {
    let text = (try? readFile("/proc/self/statm")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    return text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
}
