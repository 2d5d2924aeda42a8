import ClavigerCore
import ClavigerWire
import Cryptoki
import Glibc
import SecureMemory
import Synchronization

// How fast each suite is, and what more sessions bring.
extension Doctor {
    /// How long each figure is measured, in nanoseconds: long enough for hundreds of operations of a slow token.
    private static let duration: UInt64 = 200_000_000

    mutating func speeds() {
        for suite in report.suites {
            guard let (handles, difference) = try? handles(suite), difference == nil else { continue }
            for sessions in [1, 2, 4] {
                for operation in Operation.allCases {
                    guard let rate = measure(operation, handles, sessions: sessions) else { continue }
                    report.speeds.append(
                        .init(operation: operation.rawValue, suite: suite, sessions: sessions, perSecond: rate))
                }
            }
            objects.remove(&session)
        }
    }

    private enum Operation: String, CaseIterable, Sendable { case wrap, unwrap }

    private func measure(_ operation: Operation, _ handles: SuiteHandles, sessions: Int) -> Double? {
        let module = access.module
        let slot = slot
        let box = Counter(total: 0)
        let started = Threads.run(sessions) { _ in
            guard let count = Doctor.lane(operation, handles, module, slot) else { return box.fail() }
            box.add(count)
        }
        guard started == sessions, let count = box.result else { return nil }
        return Double(count) * 1e9 / Double(Doctor.duration)
    }

    private static func lane(_ operation: Operation, _ handles: SuiteHandles, _ module: Module, _ slot: SlotID) -> Int? {
        let header = Envelope.header(suite: handles.suite, keyID: KeyID(high: 1, low: 2), version: 1)
        let context = Context.empty
        guard var session = try? module.openSession(slot, readWrite: false), var scratch = try? CipherScratch() else {
            return nil
        }
        var envelope = [UInt8](repeating: 0, count: Envelope.length(handles.suite, plaintext: 32))
        func seal() -> Bool {
            envelope.withUnsafeMutableBytes { output in
                (try? SuiteCipher.seal(
                    .generated(count: 32, show: { _ in }), label: .knownAnswer, header: header, context: context.span.bytes,
                    handles: handles, session: &session, scratch: &scratch, into: output)) != nil
            }
        }
        func open() -> Bool {
            guard let parts = try? Envelope(envelope.span.bytes) else { return false }
            return
                (try? SuiteCipher.open(
                    parts, of: envelope.span.bytes, label: .knownAnswer, header: header, context: context.span.bytes,
                    handles: handles, session: &session, scratch: &scratch, show: { _ in })) != nil
        }
        guard seal() else { return nil }
        let end = Clock.monotonic() + duration
        var count = 0
        while Clock.monotonic() < end {
            guard operation == .wrap ? seal() : open() else { return nil }
            count += 1
        }
        return count
    }

    /// What the lanes have done together; nil once one has failed.
    private final class Counter: Sendable {
        private let total: Mutex<Int?>
        init(total: Int) { self.total = Mutex(total) }
        func add(_ count: Int) { total.withLock { $0 = $0.map { $0 + count } } }
        func fail() { total.withLock { $0 = nil } }
        var result: Int? { total.withLock { $0 } }
    }
}
