import ClavigerCore
import ClavigerWire
import Cryptoki
import Glibc
import SecureMemory
import Synchronization

// How fast the token is, and what more sessions bring.
extension Doctor {
    /// How long each figure is measured, in nanoseconds: long enough for tens of operations of a slow token.
    private static let duration: UInt64 = 100_000_000

    mutating func speeds() {
        for suite in report.suites {
            do throws(CryptokiError) {
                let (handles, difference) = try handles(suite)
                guard difference == nil else { throw .failed(.generateKey, .templateInconsistent) }
                measure(.wrap(handles), suite.name)
                measure(.unwrap(handles), suite.name)
                guard suite == .aesKeyWrapWithHMAC else { continue }
                measure(.wrapSealed(handles), suite.name)
                measure(.rewrapInside(handles), suite.name)
            } catch {
                report.speeds.append(.init(operation: "wrap", subject: suite.name, sessions: 1, failure: "\(error)"))
            }
            objects.remove(&session)
        }
        measure(.random, "\(RandomWitness.drawLength) bytes")
        measure(.generate, "AES-256")
        do throws(CryptokiError) {
            let (key, _) = try make(Doctor.name(.mac), .aesGCM, report.quirks)
            measure(.authenticate(key), "HMAC-SHA-256")
        } catch {
            report.speeds.append(.init(operation: "authenticate", subject: "HMAC-SHA-256", sessions: 1, failure: "\(error)"))
        }
        let kind = report.quirks.auditKey
        do throws(CryptokiError) {
            guard case .pair(let privateKey, let publicKey) = try makePair(kind) else { return objects.remove(&session) }
            measure(.sign(privateKey, publicKey), kind.rawValue)
        } catch {
            report.speeds.append(.init(operation: "sign", subject: kind.rawValue, sessions: 1, failure: "\(error)"))
        }
        objects.remove(&session)
    }

    private mutating func measure(_ operation: MeasuredOperation, _ subject: String) {
        for sessions in [1, 2, 4] {
            let module = access.module
            let slot = slot
            let isWriting = !report.quirks.opensReadOnlySessions
            let tally = Tally()
            let started = Threads.run(sessions) { _ in
                do throws(CryptokiError) {
                    var session = try module.openSession(slot, readWrite: isWriting)
                    tally.add(try operation.repeated(for: Doctor.duration, &session))
                    try? session.close()
                } catch {
                    tally.fail("\(error)")
                }
            }
            var speed = DoctorReport.Speed(operation: operation.name, subject: subject, sessions: sessions)
            switch tally.result {
            case .success(let count) where started == sessions:
                speed.perSecond = Double(count) * 1e9 / Double(Doctor.duration)
            case .success: speed.failure = "no more than \(started) threads"
            case .failure(let failure): speed.failure = failure.text
            }
            report.speeds.append(speed)
        }
    }

    /// What the lanes have done together, until one has failed.
    private final class Tally: Sendable {
        struct Failure: Error { var text: String }
        private let total = Mutex<Result<Int, Failure>>(.success(0))
        func add(_ count: Int) { total.withLock { $0 = $0.map { $0 + count } } }
        func fail(_ text: String) { total.withLock { $0 = .failure(Failure(text: text)) } }
        var result: Result<Int, Failure> { total.withLock { $0 } }
    }
}
