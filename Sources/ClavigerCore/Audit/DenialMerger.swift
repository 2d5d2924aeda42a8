import ClavigerWire
import Synchronization

/// Keeps a flood of refusals from filling the log: the first of its kind is recorded at once, those like it within a second are counted
/// and recorded as one. Counts what is refused while the log takes nothing, too.
final class DenialMerger: Sendable {
    /// What makes two refusals alike. Not the process: a flood may come from many.
    struct Kind: Hashable, Sendable {
        var event: String
        var code: RefusalCode
        var uid: UInt32
        var gid: UInt32
        var unit: String?
        /// What was asked for, digested; nil for whatever it was.
        var target: [UInt8]?

        /// The same for whatever was asked for.
        var forAnyTarget: Kind {
            var kind = self
            kind.target = nil
            return kind
        }
    }

    private struct Count {
        var record: AuditRecord
        var more = 0
        var until: UInt64
    }

    /// The time in which like ones are counted together, in nanoseconds.
    static let window: UInt64 = 1_000_000_000
    /// Kinds that are counted at once; what comes beyond is counted as one more kind, so that inventing kinds does not help a flood.
    static let most = 1_024
    /// Targets of one caller and refusal that are counted each by itself; what it asks for beyond is counted together.
    static let mostTargets = 32

    private let counts = Mutex<[Kind: Count]>([:])

    /// Takes a refusal's record.
    ///
    /// - Returns: whether it is to be written at once; otherwise it has been counted.
    func admit(_ record: AuditRecord, _ kind: Kind, now: UInt64) -> Bool {
        counts.withLock { counts in
            let kind = DenialMerger.place(for: kind, in: counts)
            guard counts[kind] != nil else {
                counts[kind] = Count(record: record, until: now + DenialMerger.window)
                return true
            }
            counts[kind]?.more += 1
            counts[kind]?.record = record
            return false
        }
    }

    /// Counts a refusal that could not be recorded, until `due` is asked again.
    func count(_ record: AuditRecord, _ kind: Kind, now: UInt64) {
        counts.withLock { counts in
            let kind = DenialMerger.place(for: kind, in: counts)
            counts[kind, default: Count(record: record, until: now + DenialMerger.window)].more += 1
            counts[kind]?.record = record
        }
    }

    private static func place(for kind: Kind, in counts: [Kind: Count]) -> Kind {
        guard counts[kind] == nil else { return kind }
        let whatever = kind.forAnyTarget
        let targets = counts.keys.count { $0.target != nil && $0.forAnyTarget == whatever }
        let kind = targets < mostTargets ? kind : whatever
        guard counts[kind] == nil, counts.count >= most else { return kind }
        return Kind(event: various, code: kind.code, uid: .max, gid: .max, unit: nil)
    }

    /// The event, and what stands in place of a caller or a target, where several are counted together.
    static let various = "various"

    /// The counted records whose time is over. A kind of which nothing more came is forgotten.
    func due(now: UInt64) -> [AuditRecord] {
        counts.withLock { counts in
            var due: [AuditRecord] = []
            for (kind, count) in counts where now >= count.until {
                guard count.more > 0 else {
                    counts[kind] = nil
                    continue
                }
                var record = count.record
                record.count = count.more
                if kind.target == nil { record.forgetTarget() }
                if kind.event == DenialMerger.various {
                    record.event = DenialMerger.various
                    record.initiator = nil
                }
                due.append(record)
                let (end, isBeyond) = now.addingReportingOverflow(DenialMerger.window)
                counts[kind] = Count(record: count.record, until: isBeyond ? .max : end)
            }
            return due
        }
    }

    /// How many refusals are counted and not recorded yet.
    var waiting: Int { counts.withLock { $0.values.reduce(0) { $0 + $1.more } } }

    /// All counted records, at the end.
    func all() -> [AuditRecord] { due(now: .max) }
}

extension AuditRecord {
    /// Says in place of the target that there were several.
    fileprivate mutating func forgetTarget() {
        target = Target()
        items = []
        contexts = AuditContexts()
        requestData = [Field(RequestRecord.asked, DenialMerger.various)]
        request = nil
        correlation = nil
    }
}
