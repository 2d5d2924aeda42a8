import ClavigerCore
import ClavigerWire
import Cryptoki
import Glibc
import Logging
import SecureMemory

/// `claviger bench --direct`: the same token and the same service in this process, without daemon, socket and threads of a server:
/// what is left is what the daemon adds.
package final class DirectBench: Sendable {
    private let service: Service
    private let stateLock: LockBox

    // A noncopyable lock as a reference, so that it lives as long as the bench.
    private final class LockBox: Sendable {
        let lock: HolderLock
        init(_ lock: consuming HolderLock) { self.lock = lock }
    }

    /// Takes hold of the token as the daemon does: its locks, its marker, one login.
    package init(_ configuration: Configuration) throws(AdminError) {
        let lock = try explain(AdminError.lock) { () throws(HolderLock.Failure) in
            try HolderLock(
                path: configuration.stateDirectory + "/" + TokenService.stateLockName, holder: "claviger bench --direct")
        }
        stateLock = LockBox(lock)
        LineLogHandler.setLevel(.error)
        let quiet = Logger(label: "claviger") { _ in LineLogHandler() }
        service = try explain({ (error: TokenService.SetUpError) in .setUp(error.description) }) {
            () throws(TokenService.SetUpError) in
            try Service(
                configuration: configuration, log: quiet, records: false, whenStuck: { LogLine.write(.error, $0) })
        }
        service.token.start()
        let status = service.token.currentStatus
        guard status.state.serves else { throw .token(status.reason) }
    }

    /// One thread's part: a worker of the service and buffers for a request and its answer.
    package final class Lane {
        private let worker: any RequestWorker
        private var request: SecretBytes
        private var reply: SecretBytes
        private let caller: Caller

        fileprivate init(_ service: Service) throws(AdminError) {
            worker = service.makeWorker(entersToken: true)
            do throws(SecureMemoryError) {
                request = try SecretBytes(count: 64 << 10)
                reply = try SecretBytes(count: 64 << 10)
            } catch {
                throw .setUp("memory cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l)")
            }
            caller = Caller(
                pid: getpid(), uid: geteuid(), gid: getegid(), groups: [], unit: nil, pidfdVerified: true)
        }

        /// Does one request.
        ///
        /// - Parameter source: what the message's ranges refer to.
        /// - Returns: the answer: what `read` makes of a reply's body.
        /// - Throws: what was refused.
        package func ask<R>(
            _ opcode: Opcode, _ message: some WireMessage, source: RawSpan, read: (RawSpan) throws(Refusal) -> R
        ) throws(Refusal) -> R {
            let caller = caller
            let worker = worker
            let length = request.withUnsafeMutableBytes { buffer in
                FrameWriter.request(message, opcode: opcode, requestID: 1, source: source, into: buffer) ?? 0
            }
            let answered = request.withUnsafeBytes { frame in
                reply.withUnsafeMutableBytes { reply -> Int in
                    let whole = UnsafeRawBufferPointer(rebasing: frame[..<length])
                    guard let header = try? FrameHeader(whole.bytes) else { return 0 }
                    defer { worker.delivered() }
                    return worker.handle(
                        IncomingRequest(header: header, opcode: opcode, caller: caller, deadline: .max), frame: whole,
                        reply: reply, scheduling: Alone())
                }
            }
            return try reply.withUnsafeBytes { (all) throws(Refusal) -> R in
                let bytes = UnsafeRawBufferPointer(rebasing: all[..<answered]).bytes
                let header = try FrameHeader(bytes)
                let body = bytes.extracting(Limits.headerLength...)
                guard header.kind == .reply else {
                    let refusal = try RefusalBody.decode(body)
                    throw Refusal(RefusalCode(rawValue: header.detail) ?? .internalError, refusal.message)
                }
                return try read(body)
            }
        }
    }

    /// Nobody else waits.
    private struct Alone: RequestScheduling {
        var isAbandoned: Bool { false }
        func letOthersIn() {}
    }

    /// A lane for the calling thread.
    package func makeLane() throws(AdminError) -> Lane { try Lane(service) }

    /// Gives the token back.
    package func stop() { service.token.stop() }
}
