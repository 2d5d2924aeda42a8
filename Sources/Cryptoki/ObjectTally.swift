import Synchronization

/// How many objects this process has had its module make since it was last initialised. Some modules keep memory for each of them, also
/// after it was destroyed, until C_Finalize.
public enum ObjectTally {
    private static let made = Atomic<Int>(0)

    /// The number, of all modules together.
    public static var count: Int { made.load(ordering: .relaxed) }

    package static func add(_ objects: Int) { made.add(objects, ordering: .relaxed) }
    static func reset() { made.store(0, ordering: .relaxed) }
}
