import ClavigerCore
import ClavigerWire
import Glibc
import Logging
import Synchronization

extension Connection {
    /// Ends `entry` with `answer`, a whole frame. Only for who has claimed the entry.
    func finish(_ entry: InFlight, _ answer: UnsafeRawBufferPointer) {
        finish(entry) { state in emit(&state, answer) }
    }

    /// Ends `entry` with a whole frame, which is taken out of `answer`. Only for who has claimed the entry.
    func finish(_ entry: InFlight, _ answer: inout ChunkChain) {
        finish(entry) { state in
            // Under one lock, so that the parts follow each other.
            while !answer.isEmpty {
                let part = answer.readable()
                emit(&state, part)
                answer.drop(part.count)
            }
        }
    }

    private func finish(_ entry: InFlight, _ send: (inout ConnectionState) -> Void) {
        core.counters.requestCount.add(1, ordering: .relaxed)
        // Before the peer has the answer: its next request may be read at once, and is not one too many.
        account.leave()
        state.withLock { state in
            if let index = state.inFlight.firstIndex(of: entry.header.requestID) {
                state.inFlight.swapAt(index, state.inFlight.count - 1)
                state.inFlight.removeLast()
                state.expected -= entry.expectedReply
            }
            send(&state)
            settle(&state)
        }
        core.counters.inFlightCount.subtract(1, ordering: .relaxed)
    }

    /// Ends `entry` with a refusal. Only for who has claimed the entry.
    func finish(_ entry: InFlight, _ refusal: Refusal) {
        let frame = FrameWriter.refusal(refusal, opcode: entry.header.opcode, requestID: entry.header.requestID)
        frame.withUnsafeBytes { finish(entry, $0) }
    }

    func emit(_ state: inout ConnectionState, _ frame: [UInt8]) {
        frame.withUnsafeBytes { emit(&state, $0) }
    }

    /// Sends a whole frame, or what the socket does not take of it later. The lock makes frames of several workers follow each other.
    func emit(_ state: inout ConnectionState, _ frame: UnsafeRawBufferPointer) {
        guard !isDropped else { return }
        var sent = 0
        while state.output.isEmpty, sent < frame.count {
            guard let count = write(&state, UnsafeRawBufferPointer(rebasing: frame[sent...])) else { break }
            sent += count
        }
        guard sent < frame.count, !isDropped else { return }
        let rest = UnsafeRawBufferPointer(rebasing: frame[sent...])
        guard state.output.count + rest.count <= ServerLimits.unsentMaximum, state.output.reserve(rest.count, for: .output) else {
            core.logger.warning(
                "connection closed: no memory for its unread replies", metadata: ["pid": "\(caller.pid)", "uid": "\(caller.uid)"])
            return drop(&state, "no memory for its unread replies")
        }
        if state.output.isEmpty { state.outputSince = MonotonicClock.now() }
        state.output.append(rest)
    }

    /// Sends what the socket takes now.
    func drain(_ state: inout ConnectionState) {
        var total = 0
        while !state.output.isEmpty, let count = write(&state, state.output.readable()) {
            state.output.drop(count)
            total += count
        }
        // A peer that takes a few bytes now and then is not reading.
        if state.output.isEmpty {
            state.outputSince = 0
        } else if total >= ServerLimits.chunkSize {
            state.outputSince = MonotonicClock.now()
        }
    }

    // How many bytes the socket took; nil when it takes none now, or never again.
    private func write(_ state: inout ConnectionState, _ bytes: UnsafeRawBufferPointer) -> Int? {
        while true {
            let count = send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            if count >= 0 { return count }
            if errno == EINTR { continue }
            if errno != EAGAIN { drop(&state, "send: \(errorText(errno))") }
            return nil
        }
    }
}
