import ClavigerWire
import SecureMemory

/// Checks an audit log with the public key alone, in one pass: every line's form, numbers without a gap, each record's hash in the
/// next, every checkpoint's signature and what it says of the records before it.
///
/// What stands after the newest checkpoint is chained and not yet sealed: `Report` says so. A head that was kept elsewhere proves that
/// nothing up to it was cut.
package struct AuditVerifier {
    /// The first thing that is wrong.
    package struct Finding: Error, Sendable, Equatable, CustomStringConvertible {
        package var file: String
        /// Counted from 1; 0 when it is about the file or the log as a whole.
        package var line: Int
        /// The number of the record, where one is known.
        package var sequence: UInt64?
        package var reason: String

        package var description: String { line > 0 ? "\(file), line \(line): \(reason)" : "\(file): \(reason)" }
    }

    /// A log that is whole.
    package struct Report: Sendable, Equatable {
        /// How many records were read.
        package var records: UInt64 = 0
        /// The number of the first; more than 1 when older segments have been removed.
        package var first: UInt64 = 0
        /// Where it ends.
        package var last: AuditPosition?
        /// The newest checkpoint.
        package var checkpoint: AuditHead?
        package var checkpoints: UInt64 = 0
        /// Records that the log itself reports as out of the ordinary (`log-gap`, `log-repaired`, `log-restored`, `log-resumed`,
        /// `log-stopped`, `log-unproven`), the first few.
        package var incidents: [Incident] = []

        /// Whether the head speaks of a record that stood in older files, which are not here: the log goes on beyond it, so its end was
        /// not cut there, but nothing ties the head to what is left.
        package var isHeadOlder = false

        /// Records after the newest checkpoint's place that are no part of what it seals.
        package var unsealed: UInt64 { (last?.sequence ?? 0) - (checkpoint?.position.sequence ?? (first > 0 ? first - 1 : 0)) }
    }

    /// A record by which the daemon itself reports something out of the ordinary.
    package struct Incident: Sendable, Equatable {
        package var sequence: UInt64
        package var event: String
    }

    /// The most incidents that a report lists.
    private static let listedIncidents = 100
    /// How far back a checkpoint may look: far more records than are written while a token signs.
    static let window = 1 << 16

    private let key: SigningPublicKey
    private let head: AuditHead?
    private var report = Report()
    private var instance: InstanceID?
    // The hashes of the newest records, by their number modulo the window.
    private var recent: [AuditHash?]
    private var isHeadSeen = false

    /// A verifier of one log, whose segments are fed oldest first.
    ///
    /// - Parameter head: a head kept elsewhere; its signature is checked first.
    package init(key: SigningPublicKey, head: AuditHead? = nil) throws(Finding) {
        if let head, !head.isSigned(by: key) {
            throw Finding(file: "head", line: 0, reason: "the head's signature is not this key's")
        }
        self.key = key
        self.head = head
        instance = head?.instance
        recent = [AuditHash?](repeating: nil, count: AuditVerifier.window)
    }

    /// Checks one more file.
    ///
    /// - Parameter progress: called now and then with the bytes of this file that are done.
    package mutating func feed(_ path: String, progress: (Int) -> Void = { _ in }) throws(Finding) {
        var number = 0
        let named = AuditSegment(directory: "", name: path.split(separator: "/").last.map(String.init) ?? "")
        let end = try AuditLines.read(path, failed: { Finding(file: path, line: 0, reason: "\($0)") }) {
            (line, offset) throws(Finding) in
            number += 1
            if number & 0x3fff == 0 { progress(offset) }
            if number == 1, let named, let first = AuditLine.parts(line)?.sequence, first != named.first {
                throw Finding(
                    file: path, line: 1, sequence: named.first,
                    reason: "the file begins with record \(first), and by its name with record \(named.first): "
                        + (first > named.first ? missing(named.first, first - 1) : "it has another's name"))
            }
            try take(line, path, number)
        }
        guard end.rest == 0 else {
            throw Finding(file: path, line: number + 1, reason: "the file ends in the middle of a record")
        }
        progress(end.offset)
    }

    /// What was found in all files. A log has a record from its first second on: one without any was emptied or removed.
    package func finish() throws(Finding) -> Report {
        guard head != nil || report.records > 0 else {
            throw Finding(file: "log", line: 0, reason: "there are no records, and a log begins with the start of its daemon")
        }
        guard let head, !isHeadSeen else { return report }
        let last = report.last?.sequence ?? 0
        if head.position.sequence < report.first {
            // Whoever can write the files could have made up records beyond the head; what the token has sealed there he could not.
            guard report.checkpoint != nil else {
                throw Finding(
                    file: "log", line: 0, sequence: head.position.sequence,
                    reason:
                        "the head is of record \(head.position.sequence), older than record \(report.first), with which the log "
                        + "begins, and no checkpoint speaks for the records that are left: bring the older files, or a newer head"
                )
            }
            var report = report
            report.isHeadOlder = true
            return report
        }
        throw Finding(
            file: "log", line: 0, sequence: head.position.sequence,
            reason: "the log ends with record \(last), but the head proves that it went to record \(head.position.sequence) at "
                + "\(AuditTime.text(head.time)): its end was cut off")
    }

    private mutating func take(_ line: UnsafeRawBufferPointer, _ file: String, _ number: Int) throws(Finding) {
        func finding(_ reason: String, _ sequence: UInt64? = nil) -> Finding {
            Finding(file: file, line: number, sequence: sequence, reason: reason)
        }
        guard let parts = AuditLine.parts(line) else { throw finding("this is no record of an audit log") }
        let sequence = parts.sequence
        if let last = report.last {
            guard sequence == last.sequence + 1 else {
                throw finding(
                    sequence > last.sequence
                        ? "record \(sequence) follows record \(last.sequence): \(missing(last.sequence + 1, sequence - 1))"
                        : "record \(sequence) stands after record \(last.sequence): it was inserted, repeated or moved", sequence)
            }
            guard parts.previous == last.hash else {
                throw finding(
                    "record \(sequence) does not continue record \(last.sequence): one of the two was changed or replaced",
                    last.sequence)
            }
        } else {
            report.first = sequence
            if sequence == 1, let instance { try checkBeginning(parts, instance, finding) }
            firstPrevious = parts.previous
        }
        let position = AuditPosition(sequence: sequence, hash: AuditHash(of: line))
        if AuditLine.isEvent("checkpoint", parts, line) {
            try checkpoint(line, sequence, finding)
        } else if let event = AuditVerifier.incidents.first(where: { AuditLine.isEvent($0, parts, line) }),
            report.incidents.count < AuditVerifier.listedIncidents
        {
            report.incidents.append(Incident(sequence: sequence, event: "\(event)"))
        }
        report.last = position
        report.records += 1
        remember(position)
        if let head, head.position.sequence == sequence {
            guard head.position == position else {
                throw finding("record \(sequence) is another than the one that the head was signed for", sequence)
            }
            isHeadSeen = true
        }
    }

    private static let incidents: [StaticString] = [
        "log-gap", "log-repaired", "log-restored", "log-resumed", "log-stopped", "log-unproven",
    ]

    private var firstPrevious: AuditHash?

    private func missing(_ first: UInt64, _ last: UInt64) -> String {
        first == last ? "record \(first) is missing" : "records \(first) to \(last) are missing"
    }

    private func checkBeginning(
        _ parts: AuditLine.Parts, _ instance: InstanceID, _ finding: (String, UInt64?) -> Finding
    ) throws(Finding) {
        guard parts.previous == AuditPosition.beginning(of: instance).hash else {
            throw finding("record 1 does not begin the log of instance \(instance)", 1)
        }
    }

    private mutating func checkpoint(
        _ line: UnsafeRawBufferPointer, _ sequence: UInt64, _ finding: (String, UInt64?) -> Finding
    ) throws(Finding) {
        guard let value = try? JSONValue(Array(line)), let sealed = value["checkpoint"].flatMap({ AuditHead($0) }) else {
            throw finding("checkpoint \(sequence) is not whole", sequence)
        }
        guard sealed.isSigned(by: key) else {
            throw finding("checkpoint \(sequence) is not signed by this key", sequence)
        }
        guard instance == nil || instance == sealed.instance else {
            throw finding("checkpoint \(sequence) is of another instance, \(sealed.instance)", sequence)
        }
        instance = sealed.instance
        let place = sealed.position.sequence
        guard place < sequence, sequence - place < UInt64(AuditVerifier.window) else {
            throw finding("checkpoint \(sequence) speaks of record \(place), which is not shortly before it", sequence)
        }
        let isKnown = place >= report.first && report.first > 0
        let known = isKnown ? hash(place) : place + 1 == report.first ? firstPrevious : nil
        guard known == nil || known == sealed.position.hash else {
            let before = report.checkpoint.map { "after the checkpoint at record \($0.position.sequence)" } ?? "before it"
            throw finding(
                "checkpoint \(sequence) was signed for another record \(place): records \(before) were replaced", place)
        }
        if report.first == 1, firstPrevious != AuditPosition.beginning(of: sealed.instance).hash {
            throw finding("record 1 does not begin the log of instance \(sealed.instance)", 1)
        }
        // One that was signed for a record that is not here seals none of those that are: anybody who has an old one can put it before
        // records of his own.
        if isKnown { report.checkpoint = sealed }
        report.checkpoints += 1
    }

    private mutating func remember(_ position: AuditPosition) {
        recent[Int(position.sequence % UInt64(AuditVerifier.window))] = position.hash
    }

    private func hash(_ sequence: UInt64) -> AuditHash? { recent[Int(sequence % UInt64(AuditVerifier.window))] }
}
