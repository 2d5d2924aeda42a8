import Synchronization

/// What has happened to the token since the start, for the metrics.
final class TokenCounters: Sendable {
    /// How often the token was taken hold of.
    let attached = Atomic<UInt64>(0)
    /// How often that failed.
    let failed = Atomic<UInt64>(0)
    /// How often it went away while it served.
    let lost = Atomic<UInt64>(0)
    /// How often the module was initialised anew for the memory that it keeps.
    let recycled = Atomic<UInt64>(0)
    /// How many known answers were asked for because of a failed request.
    let probed = Atomic<UInt64>(0)
    /// How many token files were put back from their copies.
    let restored = Atomic<UInt64>(0)
    /// How many object files in the token's storage are not whole, when it was last taken hold of.
    let damagedFiles = Atomic<Int>(0)
}
