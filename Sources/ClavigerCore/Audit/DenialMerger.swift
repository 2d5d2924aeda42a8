import ClavigerWire
import Synchronization

/// Keeps a flood of refusals from filling the log: the first of its kind is recorded at once, those like it within a second are counted
/// and recorded as one.
final class DenialMerger: Sendable {
    /// What makes two refusals alike. Not the process: a flood may come from many.
    struct Kind: Hashable, Sendable {
        var event: String
        var code: RefusalCode
        var uid: UInt32
        var gid: UInt32
        var unit: String?
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

    private let counts = Mutex<[Kind: Count]>([:])

    /// Takes a refusal's record.
    ///
    /// - Returns: whether it is to be written at once; otherwise it has been counted.
    func admit(_ record: AuditRecord, _ kind: Kind, now: UInt64) -> Bool {
        counts.withLock { counts in
            var kind = kind
            if counts[kind] == nil && counts.count >= DenialMerger.most {
                kind = Kind(event: DenialMerger.various, code: kind.code, uid: .max, gid: .max, unit: nil)
            }
            guard counts[kind] != nil else {
                counts[kind] = Count(record: record, until: now + DenialMerger.window)
                return true
            }
            counts[kind]?.more += 1
            counts[kind]?.record = record
            return false
        }
    }

    private static let various = "various"

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

    /// All counted records, at the end.
    func all() -> [AuditRecord] { due(now: .max) }
}
