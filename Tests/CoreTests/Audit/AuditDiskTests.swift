import ClavigerWire
import Glibc
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// Disks that do not answer, break, forget what they took, or are full when a removed file is to be put back.
@Suite struct AuditDiskTests {
    private let body = AuditRecord(event: "wrap", time: 1).body(TestLog.instance)

    /// One flush serves all that came while the one before it went on.
    @Test func whoeverWaitsIsServedByOneFlush() throws {
        let gate = Gate()
        let log = try TestLog { $0.sync = { gate.sync($0) } }
        let (audit, body) = (log.log, body)
        let before = audit.condition.flushes
        gate.shut()
        let first = Worker { _ = try? audit.append(body, flushed: true) }
        while !gate.isHeld { usleep(1_000) }
        let others = (0..<20).map { _ in Worker { _ = try? audit.append(body, flushed: true) } }
        // All in the file: one that is still on its way there would begin a flush for less than all.
        while audit.condition.position.sequence < 21 { usleep(1_000) }
        #expect(audit.position.sequence == 0)
        gate.open()
        for worker in [first] + others { worker.join() }
        #expect(audit.position.sequence == 21)
        #expect(audit.condition.flushes - before == 2)
    }

    /// A disk that does not answer holds up nobody for long, and what comes after is refused at once.
    @Test(arguments: [false, true])
    func aDiskThatDoesNotAnswerFailsTheLog(isWrite: Bool) throws {
        let gate = Gate()
        let log = try TestLog {
            $0.flushPatience = 200_000_000
            if isWrite {
                $0.put = { file, bytes, offset in
                    gate.wait()
                    return AuditLog.put(file, bytes, offset)
                }
            } else {
                $0.sync = { gate.sync($0) }
            }
        }
        let (audit, body) = (log.log, body)
        try log.append(1, flushed: true)
        gate.shut()
        let stuck = Worker { _ = try? audit.append(body, flushed: true) }
        while !gate.isHeld { usleep(1_000) }
        // Nobody knows yet, and who does not wait for the disk is not held up.
        #expect(audit.failure == nil && audit.position.sequence == 1 && audit.condition.position.sequence >= 1)
        let ticket = try audit.add(body, flushed: true)
        #expect(throws: AuditFailure.self) { try audit.secure(ticket) }
        #expect(audit.failure?.reason.hasSuffix("has not answered for 200 ms") == true)
        let began = Clock.monotonic()
        #expect(throws: AuditFailure.self) { try log.append(1, flushed: false) }
        #expect(throws: AuditFailure.self) { try audit.flush() }
        #expect(throws: AuditFailure.self) { try audit.signedHead() }
        // Who tends the log is not held up either, nor is who asks.
        audit.look()
        #expect(audit.rotate("asked for") == nil)
        #expect(audit.failure != nil && audit.condition.failure != nil && audit.position.sequence == 1)
        #expect(Clock.monotonic() - began < 10_000_000_000)
        gate.open()
        stuck.join()
        audit.look()
        #expect(audit.failure == nil)
        try log.append(1, flushed: true)
        let report = try log.verify()
        #expect(report.incidents.map(\.event) == ["log-resumed"] && report.last == audit.position)
    }

    /// Who waits for a ticket is not at the disk: another flushes for all, and is stuck in their place.
    @Test func whoWaitsForATicketIsNeverStuck() throws {
        let gate = Gate()
        let log = try TestLog {
            $0.flushPatience = 2_000_000_000
            // Not the disk, which may take longer on a loaded machine.
            $0.sync = { _ in
                gate.wait()
                return 0
            }
        }
        let (audit, body) = (log.log, body)
        let flusher = Worker { audit.serveFlushes() }
        // Once it is there it serves all that wait, with as few flushes as can be.
        let waiters = (0..<8).map { _ in
            Worker {
                for _ in 0..<20 {
                    guard let ticket = try? audit.add(body, flushed: true) else { return }
                    try? audit.secure(ticket)
                }
            }
        }
        for waiter in waiters { waiter.join() }
        #expect(audit.position.sequence == 160)
        while !audit.monitor.locked({ audit.state.hasFlusher }) { usleep(1_000) }
        gate.shut()
        let ticket = try audit.add(body, flushed: true)
        #expect(!audit.isSettled(ticket))
        #expect(throws: AuditFailure.self) { try audit.secure(ticket) }
        #expect(throws: AuditFailure.self) { try audit.add(body, flushed: true) }
        #expect(gate.isHeld)
        // Never to be durable is settled, too, and stays so.
        #expect(audit.isSettled(ticket))
        gate.open()
        #expect(
            eventually {
                audit.look()
                return audit.failure == nil
            })
        let after = try audit.add(body, flushed: true)
        try audit.secure(after)
        #expect(audit.position.sequence >= after.sequence)
        #expect(audit.isSettled(ticket))
        audit.stopFlushing()
        flusher.join()
        #expect(log.finding() == nil)
    }

    /// The disk begins with a record when it is added, and one flush serves all that are added while the one before it goes on.
    @Test func oneFlushServesAllThatWereAddedMeanwhile() throws {
        let gate = Gate()
        let log = try TestLog { $0.sync = { gate.sync($0) } }
        let (audit, body) = (log.log, body)
        let told = Atomic<UInt64>(0)
        // It is told with the monitor free: it asks the log.
        let flusher = Worker { audit.serveFlushes { told.store(audit.position.sequence, ordering: .releasing) } }
        while !audit.monitor.locked({ audit.state.hasFlusher }) { usleep(1_000) }
        let before = audit.condition.flushes
        gate.shut()
        var tickets = [try audit.add(body, flushed: true)]
        while !gate.isHeld { usleep(1_000) }
        for _ in 0..<20 { tickets.append(try audit.add(body, flushed: true)) }
        #expect(!audit.isSettled(tickets[0]))
        gate.open()
        for ticket in tickets { try audit.secure(ticket) }
        #expect(audit.condition.flushes - before == 2)
        #expect(tickets.allSatisfy(audit.isSettled))
        #expect(eventually { told.load(ordering: .acquiring) == tickets.last?.sequence })
        audit.stopFlushing()
        flusher.join()
        #expect(log.finding() == nil)
    }

    /// The thread that tends the log finds out by itself that somebody does not come back from the disk.
    @Test func whoTendsTheLogNoticesAStuckWrite() throws {
        let gate = Gate()
        let log = try TestLog {
            $0.flushPatience = 100_000_000
            $0.put = { file, bytes, offset in
                gate.wait()
                return AuditLog.put(file, bytes, offset)
            }
        }
        let (audit, body) = (log.log, body)
        gate.shut()
        let stuck = Worker { _ = try? audit.append(body, flushed: false) }
        while !gate.isHeld { usleep(1_000) }
        audit.look()
        #expect(audit.failure != nil)
        gate.open()
        stuck.join()
        audit.look()
        #expect(audit.failure == nil)
    }

    /// Who looks at the file while another is begun does not take the new one for the old one replaced.
    @Test func aNewFileIsNotTakenForAReplacedOne() throws {
        let log = try TestLog()
        let (audit, body) = (log.log, body)
        let isOver = Shared(Atomic(false))
        let looker = Worker { while !isOver.value.load(ordering: .relaxed) { audit.look() } }
        let writer = Worker {
            while !isOver.value.load(ordering: .relaxed) {
                _ = try? audit.append(body, flushed: false)
                usleep(100)
            }
        }
        for _ in 0..<100 { #expect(audit.rotate("test") != nil) }
        isOver.value.store(true, ordering: .relaxed)
        for worker in [looker, writer] { worker.join() }
        try audit.flush()
        let report = try log.verify()
        #expect(report.incidents.isEmpty && report.last == audit.position)
        #expect(try log.segments.count >= 101)
    }

    /// A write that fails takes nothing with it: whole records only, and the log goes on when the disk does.
    @Test func aWriteThatFailsStopsTheLog() throws {
        let isBroken = Atomic(false)
        let broken = Shared(isBroken)
        let log = try TestLog {
            $0.put = { file, bytes, offset in
                guard broken.value.load(ordering: .relaxed) else { return AuditLog.put(file, bytes, offset) }
                // Some of it gets there.
                _ = AuditLog.put(file, UnsafeRawBufferPointer(rebasing: bytes.prefix(10)), offset)
                return EIO
            }
        }
        try log.append(3, flushed: true)
        let before = try log.read(log.segments[0].path)
        broken.value.store(true, ordering: .relaxed)
        #expect(throws: AuditFailure.self) { try log.append(1, flushed: false) }
        #expect(log.log.failure?.reason.hasSuffix("Input/output error") == true)
        log.log.look()
        #expect(log.log.failure != nil)
        #expect(try log.read(log.segments[0].path) == before)
        broken.value.store(false, ordering: .relaxed)
        log.log.look()
        try log.append(2, flushed: true)
        #expect(try log.verify().records == 6)
        #expect(try log.read(log.segments[0].path).starts(with: before))
    }

    /// That the log stopped is noted by who flushes, where nobody takes it up again, as at the daemon's end; and what others have put behind
    /// a torn line is left alone.
    @Test(arguments: [false, true]) func aStopIsNotedAtOnce(isForeign: Bool) throws {
        let left = Shared(Mutex<(@Sendable (Int32) -> Void)?>(nil))
        let log = try TestLog {
            $0.put = { file, bytes, offset in
                guard let spoil = left.value.withLock({ $0.take() }) else { return AuditLog.put(file, bytes, offset) }
                _ = AuditLog.put(file, UnsafeRawBufferPointer(rebasing: bytes.prefix(10)), offset)
                spoil(file)
                return ENOSPC
            }
        }
        let audit = log.log
        try log.append(3, flushed: true)
        let before = try log.read(log.segments[0].path)
        let flusher = Worker { audit.serveFlushes() }
        left.value.withLock {
            $0 = { file in if isForeign { _ = AuditLog.write(Array("not the daemon's".utf8), to: file) } }
        }
        #expect(throws: AuditFailure.self) { try log.append(1, flushed: false) }
        #expect(eventually { audit.monitor.locked { audit.state.isStopNoted } })
        audit.stopFlushing()
        flusher.join()
        let text = String(decoding: try log.read(log.segments[0].path), as: UTF8.self)
        #expect(text.hasPrefix(String(decoding: before, as: UTF8.self)))
        #expect(text.contains("\"log-stopped\"") != isForeign && text.hasSuffix("not the daemon's") == isForeign)
        audit.look()
        #expect(audit.failure == nil)
        guard isForeign else { return }
        let aside = try Files.read("\(log.segments[0].path).torn-\(before.count)")
        #expect(aside == Array(text.utf8.dropFirst(before.count)))
    }

    /// A disk that fails and then does not answer any more keeps nobody who waits for it: only who takes the log up again is stuck.
    @Test func aDiskThatFailsAndThenHangsHoldsUpNobody() throws {
        let (flushes, writes, isBroken) = (Gate(), Gate(), Shared(Atomic(false)))
        let log = try TestLog {
            $0.sync = { _ in
                flushes.wait()
                return isBroken.value.load(ordering: .relaxed) ? EIO : 0
            }
            $0.put = { file, bytes, offset in
                writes.wait()
                return AuditLog.put(file, bytes, offset)
            }
        }
        let (audit, body) = (log.log, body)
        let tender = Worker { audit.tend() }
        let flusher = Worker { audit.serveFlushes() }
        while !audit.monitor.locked({ audit.state.hasFlusher }) { usleep(1_000) }
        flushes.shut()
        let refused = Shared(Atomic(0))
        let waiters = (0..<8).map { _ in
            Worker {
                guard let ticket = try? audit.add(body, flushed: true) else { return }
                if (try? audit.secure(ticket)) == nil { refused.value.add(1, ordering: .relaxed) }
            }
        }
        while !audit.monitor.locked({ audit.state.waiting == 8 && audit.state.syncing.isGoing }) { usleep(1_000) }
        writes.shut()
        isBroken.value.store(true, ordering: .relaxed)
        flushes.open()
        while !writes.isHeld { usleep(1_000) }
        #expect(eventually { refused.value.load(ordering: .relaxed) == 8 })
        #expect(writes.isHeld)
        // Nor is who comes now.
        #expect(throws: AuditFailure.self) { try audit.add(body, flushed: true) }
        #expect(audit.condition.failure?.hasSuffix("Input/output error") == true)
        isBroken.value.store(false, ordering: .relaxed)
        writes.open()
        for waiter in waiters { waiter.join() }
        #expect(eventually { audit.failure == nil })
        audit.stopTending()
        tender.join()
        audit.stopFlushing()
        flusher.join()
        #expect(try log.verify().incidents.map(\.event) == ["log-stopped", "log-resumed"])
    }

    /// Who finds nobody at the file writes; who finds somebody there does not wait.
    @Test func whoFindsAnotherAtTheFileGoesOn() throws {
        let (gate, isShut) = (Gate(), Shared(Atomic(false)))
        let log = try TestLog {
            $0.put = { file, bytes, offset in
                if isShut.value.load(ordering: .relaxed) { gate.wait() }
                return AuditLog.put(file, bytes, offset)
            }
        }
        let audit = log.log
        let body = AuditRecord(event: "wrap", time: 1).body(TestLog.instance)
        #expect(try audit.addWritten(body) == nil)
        #expect(try log.lines().count == 1)
        gate.shut()
        isShut.value.store(true, ordering: .relaxed)
        let isWritten = Shared(Atomic(false))
        let first = Worker { isWritten.value.store((try? audit.addWritten(body)) == .some(nil), ordering: .relaxed) }
        while !gate.isHeld { usleep(1_000) }
        let ticket = try #require(try audit.addWritten(body))
        #expect(try !audit.secureIfFree(ticket))
        #expect(try log.lines().count == 1)
        isShut.value.store(false, ordering: .relaxed)
        gate.open()
        first.join()
        let wasWritten = isWritten.value.load(ordering: .relaxed)
        #expect(wasWritten)
        #expect(try audit.secureIfFree(ticket))
        #expect(try log.lines().count == 3 && log.finding() == nil)
    }

    /// After a flush that failed the kernel holds for clean what the disk never got: it is written again before it counts.
    @Test func whatAFailedFlushLostIsWrittenAgain() throws {
        let disk = ForgetfulDisk()
        let log = try TestLog {
            $0.put = { disk.put($0, $1, $2) }
            $0.sync = { disk.sync($0) }
        }
        try log.append(3, flushed: true)
        try log.append(4)
        disk.fail()
        #expect(throws: AuditFailure.self) { try log.log.flush() }
        for _ in 0..<3 { log.log.look() }
        #expect(log.log.failure != nil)
        disk.heal()
        log.log.look()
        #expect(log.log.failure == nil)
        let path = try log.segments[0].path
        let size = try log.read(path).count
        #expect(log.log.position.sequence >= 7 && disk.durable(path) == size)
        #expect(log.finding() == nil)
    }

    /// Nothing but the open file holds the records of one that was removed: it is kept until there is room for its copy.
    @Test(arguments: [false, true])
    func aRemovedFileIsKeptUntilThereIsRoom(isReplaced: Bool) async {
        await #expect(processExitsWith: .success) { [isReplaced] in
            let log = try TestLog()
            try log.append(50, flushed: true)
            let segment = try log.segments[0]
            let before = try log.read(segment.path)
            unlink(segment.path)
            if isReplaced { try log.overwrite(segment.path, [1]) }
            // Files of this process cannot grow to its size.
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            let most = limit.rlim_cur
            limit.rlim_cur = rlim_t(before.count / 2)
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            for _ in 0..<5 { log.log.look() }
            let failure = try #require(log.log.failure)
            #expect(failure.reason.contains("cannot keep room in"), "\(failure)")
            #expect(try !Files.list(log.path).contains { $0.hasSuffix(".new") })
            limit.rlim_cur = most
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            log.log.look()
            #expect(log.log.failure == nil)
            try log.append(1, flushed: true)
            #expect(try log.read(segment.path).starts(with: before))
            let report = try log.verify()
            #expect(report.incidents.map(\.event).contains("log-restored"))
            #expect(log.log.warning == nil)
        }
    }
}

/// A disk that stops and goes on.
private final class Gate: Sendable {
    private let state = Mutex((isShut: false, isHeld: false))
    var isHeld: Bool { state.withLock { $0.isHeld } }
    func shut() { state.withLock { $0.isShut = true } }
    func open() { state.withLock { $0.isShut = false } }

    func wait() {
        while state.withLock({ state in
            state.isHeld = state.isShut
            return state.isShut
        }) {
            usleep(1_000)
        }
    }

    func sync(_ file: Int32) -> Int32 {
        wait()
        return fdatasync(file) == 0 ? 0 : errno
    }
}

/// A disk under a kernel as Linux: what was written before a flush that failed counts as clean afterwards, and never gets there.
private final class ForgetfulDisk: Sendable {
    private struct State {
        var isFailing = false
        // Bytes of each file by offset: on the disk, and on their way.
        var durable: [String: Set<Int>] = [:]
        var dirty: [String: Set<Int>] = [:]
    }

    private let state = Mutex(State())

    func fail() { state.withLock { $0.isFailing = true } }
    func heal() { state.withLock { $0.isFailing = false } }

    func put(_ file: Int32, _ bytes: UnsafeRawBufferPointer, _ offset: Int?) -> Int32 {
        var status = stat()
        fstat(file, &status)
        let place = offset ?? Int(status.st_size)
        let code = AuditLog.put(file, bytes, offset)
        if code == 0 { state.withLock { $0.dirty[name(file), default: []].formUnion(place..<(place + bytes.count)) } }
        return code
    }

    func sync(_ file: Int32) -> Int32 {
        state.withLock { state in
            let written = state.dirty.removeValue(forKey: name(file)) ?? []
            guard !state.isFailing else { return EIO }
            state.durable[name(file), default: []].formUnion(written)
            return 0
        }
    }

    /// How many bytes of the file's beginning are on the disk.
    func durable(_ path: String) -> Int {
        state.withLock { state in
            let bytes = state.durable[path] ?? []
            return (0...bytes.count).first { !bytes.contains($0) } ?? 0
        }
    }

    private func name(_ file: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/fd/\(file)", &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
