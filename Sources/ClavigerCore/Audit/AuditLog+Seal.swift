import ClavigerWire
import Glibc
import Logging

// Checkpoints, which the token signs, and the change to the next file.
extension AuditLog {
    var isSealDue: Bool {
        monitor.locked {
            guard state.last.sequence > state.sealRecord else { return false }
            let now = surroundings.monotonic()
            let since = state.last.sequence - state.sealRecord
            if now < state.sealTried + (state.sealFailure == nil ? 0 : AuditLog.retryInterval) { return false }
            return since >= settings.checkpointRecords || now >= state.sealTried + settings.checkpointInterval
        }
    }

    /// Has the token sign where the log stands, and writes that into it.
    ///
    /// Does nothing when the newest record is a checkpoint.
    ///
    /// - Returns: the signed place: the newest record before the checkpoint.
    @discardableResult
    package func seal() throws(AuditFailure) -> AuditHead {
        let newest = try within { () throws(AuditFailure) in state.last.sequence == state.sealRecord ? state.sealed : nil }
        if let newest { return newest }
        let head: AuditHead
        do throws(AuditFailure) {
            head = try signedHead(of: surroundings.epoch())
        } catch {
            // Recovery may be stuck in the disk with it.
            let isNews = monitor.locked(patience: settings.flushPatience) {
                defer { (state.sealFailure, state.sealTried) = (error.reason, surroundings.monotonic()) }
                return state.sealFailure == nil
            }
            if isNews == true { surroundings.log.warning("no checkpoint in the audit log", metadata: ["reason": "\(error)"]) }
            throw error
        }
        var record = AuditRecord(event: AuditEvent.System.checkpoint.rawValue, time: head.time)
        record.checkpoint = head
        let position = try append(record.body(instance), flushed: true)
        _ = monitor.locked(patience: settings.flushPatience) {
            (state.sealFailure, state.sealTried) = (nil, surroundings.monotonic())
            state.sealed = head
            state.sealRecord = position.sequence
        }
        surroundings.anchor(position)
        return head
    }

    /// Where the log stands, on the disk and signed.
    ///
    /// - Parameter epoch: the database's, which the log is to hold against an older one.
    package func signedHead(of epoch: UInt64? = nil) throws(AuditFailure) -> AuditHead {
        try flush()
        let place = position
        let time = surroundings.time.now()
        do throws(SigningFailure) {
            let signature = try surroundings.sign(AuditHead.digest(instance, place, time, epoch))
            return AuditHead(instance: instance, position: place, time: time, epoch: epoch, signature: signature)
        } catch {
            throw AuditFailure("\(error)")
        }
    }

    // MARK: segments

    var isRotationDue: Bool {
        monitor.locked {
            guard state.size > 0,
                surroundings.monotonic() >= state.rotationTried + AuditLog.retryInterval || state.rotationTried == 0
            else {
                return false
            }
            return state.size >= settings.segmentBytes || surroundings.time.now() >= state.began + settings.segmentAge
        }
    }

    /// Seals the segment and begins the next. Where the token does not sign now, the next segment's first checkpoint seals both.
    ///
    /// - Returns: the new segment; nil when the old one goes on.
    @discardableResult
    package func rotate(_ reason: String) -> AuditSegment? {
        _ = try? seal()
        do throws(AuditFailure) {
            return try within { () throws(AuditFailure) in try begin(reason) }
        } catch {
            return nil
        }
    }

    // Under the monitor.
    private func begin(_ reason: String) throws(AuditFailure) -> AuditSegment? {
        state.rotationTried = surroundings.monotonic()
        guard awaitTurn(), let old = state.segment else { return nil }
        let (file, epoch) = (state.file, state.epoch)
        // Whoever adds one meanwhile has it in the next file.
        let segment = AuditSegment(directory: settings.directory, first: state.written.sequence + 1)
        var code: Int32 = 0
        let outcome: Result<Int32, FileError>? = alone {
            code = settings.sync(file)
            guard code == 0 else { return .failure(FileError("sync", old.path, code)) }
            do throws(FileError) { return .success(try AuditLog.create(segment)) } catch { return .failure(error) }
        }
        guard epoch == state.epoch else {
            // Given up meanwhile; recovery finds the new file and goes on in it.
            if case .success(let file)? = outcome { close(file) }
            return nil
        }
        if code != 0 { throw fail("sync", code) }
        state.synced = state.written
        tell()
        switch outcome {
        case .success(let file)?: begin(segment, file)
        case .failure(let error)?:
            surroundings.log.error("no new audit segment; the old one goes on", metadata: ["error": "\(error)"])
            return nil
        case nil: return nil
        }
        state.rotationTried = 0
        let record = AuditRecord.system(.logRotated, time: surroundings.time.now(), reason: reason, [.init("previous", old.name)])
        state.append(record.body(instance))
        try awaitFlush(state.last.sequence)
        return segment
    }
}
