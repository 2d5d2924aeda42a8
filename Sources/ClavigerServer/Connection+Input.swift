import ClavigerWire
import Glibc
import Synchronization

/// A request as it was taken from a connection: its frame is the first `length` bytes of the buffer given.
struct TakenRequest {
    let entry: InFlight
    let length: Int
}

/// What the beginning of a frame says.
private enum FrameStart {
    /// Fewer bytes than a header has.
    case short
    /// A request of this many bytes.
    case request(length: Int)
    /// No frame that could be followed any further.
    case broken(Refusal, opcode: UInt16, requestID: UInt32)

    init(_ bytes: UnsafeRawBufferPointer) {
        let span = RawSpan(_unsafeBytes: bytes)
        do throws(Refusal) {
            // The length is looked at before the rest of the header is there: too small a one promises no rest.
            guard bytes.count >= 4, case _ = try FrameHeader.frameLength(span), bytes.count >= Limits.headerLength else {
                self = .short
                return
            }
            let header = try FrameHeader(span)
            guard header.kind == .request else { throw Refusal(.invalidKind) }
            self = .request(length: header.frameLength)
        } catch {
            let (opcode, requestID) = FrameHeader.salvage(span)
            self = .broken(error, opcode: opcode, requestID: requestID)
        }
    }

    init(_ stash: borrowing ChunkChain) {
        self = withUnsafeTemporaryAllocation(byteCount: Limits.headerLength, alignment: 1) { buffer in
            let header = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(stash.count, Limits.headerLength)])
            stash.peek(header)
            return FrameStart(UnsafeRawBufferPointer(header))
        }
    }
}

/// What came of one attempt to read.
private enum Received {
    case bytes(Int)
    case nothingYet
    case over
}

extension Connection {
    /// Whether the stash has something to be taken without reading: a whole frame, or a header that ends the connection.
    func holdsFrame(_ state: borrowing ConnectionState) -> Bool {
        switch FrameStart(state.stash) {
        case .short: false
        case .request(let length): state.stash.count >= length
        case .broken: true
        }
    }

    /// Reads and takes at most one frame.
    ///
    /// `pocket` is an empty chain with a chunk of room, so that what comes with a frame has a place; without one nothing is read.
    func receive(
        _ state: inout ConnectionState, _ buffer: UnsafeMutableRawBufferPointer, _ pocket: inout ChunkChain
    ) -> TakenRequest? {
        guard wantsInput(state) else { return nil }
        guard pocket.reserve(ServerLimits.chunkSize, for: .input) else {
            starve(&state, ServerLimits.chunkSize)
            return nil
        }
        let before = state.stash.count
        let taken =
            before == 0 ? receiveIntoBuffer(&state, buffer, &pocket) : receiveIntoStash(&state, buffer)
        if state.stash.count != before { state.lastInput = MonotonicClock.now() }
        return taken
    }

    // The usual way: one read brings a whole frame, and what is beyond it fits one chunk.
    private func receiveIntoBuffer(
        _ state: inout ConnectionState, _ buffer: UnsafeMutableRawBufferPointer, _ pocket: inout ChunkChain
    ) -> TakenRequest? {
        guard case .bytes(var count) = read(&state, part(buffer, 0, ServerLimits.chunkSize)) else { return nil }
        var whole: Int?
        switch FrameStart(UnsafeRawBufferPointer(part(buffer, 0, count))) {
        case .broken(let refusal, let opcode, let requestID):
            wipe(buffer, 0, count)
            refuseAndEnd(&state, refusal, opcode, requestID)
            return nil
        case .short: break
        case .request(let length):
            whole = length
            // The room for all of a large frame is taken before its rest is read: frames begun without could block each other.
            if length > ServerLimits.chunkSize {
                guard state.stash.reserve(length, for: .input) else {
                    starve(&state, length)
                    break
                }
                loop: while count < length {
                    switch read(&state, part(buffer, count, length - count)) {
                    case .bytes(let more): count += more
                    case .nothingYet: break loop
                    case .over:
                        wipe(buffer, 0, count)
                        return nil
                    }
                }
            }
        }
        guard let whole, count >= whole else {
            if state.stash.room == 0 { swap(&state.stash, &pocket) }
            state.stash.append(UnsafeRawBufferPointer(part(buffer, 0, count)))
            wipe(buffer, 0, count)
            return nil
        }
        if count > whole {
            swap(&state.stash, &pocket)
            state.stash.append(UnsafeRawBufferPointer(part(buffer, whole, count - whole)))
            wipe(buffer, whole, count - whole)
        } else {
            state.stash.clear()
        }
        return accept(&state, buffer, whole)
    }

    // The way of frames that come in parts or ahead of time. Nothing is copied before the frame is whole: a peer that sends byte by
    // byte costs no more than its bytes.
    private func receiveIntoStash(_ state: inout ConnectionState, _ buffer: UnsafeMutableRawBufferPointer) -> TakenRequest? {
        while true {
            let needed: Int
            switch FrameStart(state.stash) {
            case .broken(let refusal, let opcode, let requestID):
                refuseAndEnd(&state, refusal, opcode, requestID)
                return nil
            case .short: needed = Limits.headerLength
            case .request(let length): needed = length
            }
            if state.stash.count >= needed {
                state.stash.move(part(buffer, 0, needed))
                return accept(&state, buffer, needed)
            }
            guard state.stash.reserve(needed - state.stash.count, for: .input) else {
                starve(&state, needed - state.stash.count)
                return nil
            }
            guard case .bytes(let count) = read(&state, state.stash.writable()) else { return nil }
            state.stash.commit(count)
        }
    }

    // Enters the whole frame in `buffer` as a request, or refuses it; the connection lives either way.
    private func accept(_ state: inout ConnectionState, _ buffer: UnsafeMutableRawBufferPointer, _ length: Int) -> TakenRequest? {
        let frame = UnsafeRawBufferPointer(part(buffer, 0, length))
        guard let header = try? FrameHeader(RawSpan(_unsafeBytes: frame)) else { return nil }
        // What follows in the stash is another frame.
        state.frameSince = 0
        let now = MonotonicClock.now()
        let refusal: Refusal
        // Before anything else: what is refused anyway costs a reading and an answer too.
        if let over = account.enter(core.settings, isShared: core.callers.isShared, now: now) {
            refusal = over
        } else if state.inFlight.contains(header.requestID) {
            account.leave()
            refusal = Refusal(.duplicateRequestID)
        } else if let opcode = Opcode(rawValue: header.opcode) {
            let entry = InFlight(
                connection: self, header: header, opcode: opcode,
                deadline: core.settings.deadline(header.detail, from: now),
                expectedReply: RequestShape.expectedReply(frame, opcode: opcode, caller: caller))
            state.inFlight.append(header.requestID)
            state.expected += entry.expectedReply
            core.counters.inFlightCount.add(1, ordering: .relaxed)
            return TakenRequest(entry: entry, length: length)
        } else {
            account.leave()
            refusal = Refusal(.unknownOpcode)
        }
        wipe(buffer, 0, length)
        core.counters.requestCount.add(1, ordering: .relaxed)
        emit(&state, FrameWriter.refusal(refusal, opcode: header.opcode, requestID: header.requestID))
        return nil
    }

    private func refuseAndEnd(_ state: inout ConnectionState, _ refusal: Refusal, _ opcode: UInt16, _ requestID: UInt32) {
        state.isInputEnded = true
        state.stash.clear()
        emit(&state, FrameWriter.refusal(refusal, opcode: opcode, requestID: requestID))
    }

    private func starve(_ state: inout ConnectionState, _ bytes: Int) {
        state.isStarved = true
        core.starve(token, bytes: bytes)
    }

    private func read(_ state: inout ConnectionState, _ target: UnsafeMutableRawBufferPointer) -> Received {
        while true {
            let count = recv(descriptor, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
            if count > 0 { return .bytes(count) }
            if count == 0 {
                // The peer may have closed only its sending half: what is in flight is still answered.
                state.isInputEnded = true
                state.stash.clear()
                return .over
            }
            if errno == EINTR { continue }
            if errno == EAGAIN { return .nothingYet }
            drop(&state, "recv: \(errorText(errno))")
            return .over
        }
    }

    private func part(_ buffer: UnsafeMutableRawBufferPointer, _ offset: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + count])
    }

    private func wipe(_ buffer: UnsafeMutableRawBufferPointer, _ offset: Int, _ count: Int) {
        if let base = buffer.baseAddress { explicit_bzero(base + offset, count) }
    }
}
