import Logging
import Synchronization

// Files in the token's storage that are not whole: whose they may be, for people.
extension TokenService {
    /// Files that are not whole, and how many key versions may be in them.
    struct DamageReport: Equatable {
        var files: [String]
        var missing: Int
    }

    /// How many files were not whole when the token was taken hold of last; nil for a token that keeps no such.
    var damagedFileCount: Int? { files == nil ? nil : counters.damagedFiles.load(ordering: .relaxed) }

    /// What is known of damaged files while keys are missed, for people; nil when none is damaged in a way that shows.
    func damage() -> String? {
        guard let damaged = try? files?.damaged(), !damaged.isEmpty else { return nil }
        return "damaged in its storage: \(TokenService.list(damaged)); put back from a backup, do not remove"
    }

    private static func list(_ paths: [String]) -> String {
        paths.prefix(3).joined(separator: ", ") + (paths.count > 3 ? " and \(paths.count - 3) more" : "")
    }

    /// Reports object files that are not whole. While every key is there they are nobody's: what a killed or failed creation leaves.
    /// While one is missing, it may be in one of them. They stay in either case.
    func reportDamagedFiles() {
        guard let damaged = try? files?.damaged() else { return }
        counters.damagedFiles.store(damaged.count, ordering: .relaxed)
        let missing = snapshots.current.keys.values.reduce(0) { $0 + $1.faultyVersions }
        let news = DamageReport(files: damaged, missing: missing)
        let isNews = lastDamage.withLock { last in
            defer { last = news }
            return last != news
        }
        guard isNews, !damaged.isEmpty else { return }
        let metadata: Logger.Metadata = ["count": "\(damaged.count)", "files": "\(TokenService.list(damaged))"]
        guard missing > 0 else {
            log.warning(
                "files in the token's storage are not whole; they hold no key that was acknowledged, and are left as they are",
                metadata: metadata)
            return
        }
        log.error(
            "files in the token's storage are not whole, and missing key versions may be in them: restore them, remove none",
            metadata: metadata.merging(["missing": "\(missing)"]) { old, _ in old })
    }
}
