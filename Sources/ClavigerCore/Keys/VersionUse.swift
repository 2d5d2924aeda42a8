import Synchronization

/// Counts what one key version was used for and when last: what the census says of it. Shared by all snapshots that hold the version.
///
/// Counting costs a request a few atomic additions and never waits. What was counted since the last writing is lost in a crash, so
/// these numbers can be too low; the bound that protects the key is `WrapCounter`'s.
package final class VersionUse: Sendable {
    /// Uses and last moments, in milliseconds since 1970; 0 for never.
    package struct Counts: Equatable, Sendable {
        package var wraps: UInt64 = 0
        package var unwraps: UInt64 = 0
        package var lastWrap: UInt64 = 0
        package var lastUnwrap: UInt64 = 0

        /// The last use of either kind; 0 for never.
        package var last: UInt64 { max(lastWrap, lastUnwrap) }
    }

    private let wraps: Atomic<UInt64>
    private let unwraps: Atomic<UInt64>
    private let lastWrap: Atomic<UInt64>
    private let lastUnwrap: Atomic<UInt64>
    private let isChanged = Atomic(false)
    // When the version had been retired that somebody was last shown the counts of; 0 for never.
    private let shown = Atomic<UInt64>(0)

    /// Goes on counting from what was written last.
    package init(_ counts: Counts = Counts()) {
        wraps = Atomic(counts.wraps)
        unwraps = Atomic(counts.unwraps)
        lastWrap = Atomic(counts.lastWrap)
        lastUnwrap = Atomic(counts.lastUnwrap)
    }

    /// Notes an envelope that was made.
    ///
    /// - Returns: whether it is the first use since the counts were taken for writing.
    @discardableResult
    package func noteWrap(at now: UInt64) -> Bool {
        wraps.add(1, ordering: .relaxed)
        lastWrap.max(now, ordering: .relaxed)
        return isChanged.exchange(true, ordering: .releasing) == false
    }

    /// Notes an envelope that was opened.
    ///
    /// - Returns: as for `noteWrap`.
    @discardableResult
    package func noteUnwrap(at now: UInt64) -> Bool {
        unwraps.add(1, ordering: .relaxed)
        lastUnwrap.max(now, ordering: .relaxed)
        return isChanged.exchange(true, ordering: .releasing) == false
    }

    /// Notes that somebody is shown the counts of the version, which was retired at this moment and is not used any more.
    package func noteShown(retired: UInt64) { shown.store(retired, ordering: .relaxed) }

    /// Whether somebody was shown the counts since the version was retired at this moment. Forgotten with the process.
    package func isShown(retired: UInt64) -> Bool { retired > 0 && shown.load(ordering: .relaxed) == retired }

    /// What was counted so far.
    package var counts: Counts {
        Counts(
            wraps: wraps.load(ordering: .relaxed), unwraps: unwraps.load(ordering: .relaxed),
            lastWrap: lastWrap.load(ordering: .relaxed), lastUnwrap: lastUnwrap.load(ordering: .relaxed))
    }

    /// The counts if there is something to be written, nil else. Whoever takes them writes them, or calls `putBack`.
    package func takeForWriting() -> Counts? {
        isChanged.exchange(false, ordering: .acquiringAndReleasing) ? counts : nil
    }

    /// Notes that what was taken could not be written.
    package func putBack() { isChanged.store(true, ordering: .releasing) }
}
