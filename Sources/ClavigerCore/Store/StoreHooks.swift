/// What the store asks of others and tells them, from when they are there.
///
/// In a structure, and not each in a `Mutex` of its own: Swift 6.3 wraps a closure that is all that a `Mutex` holds whenever it is looked
/// at, and each call goes through all the wrappers, of which there is no end.
struct StoreHooks: Sendable {
    /// Where the audit log stands on the disk.
    var auditPosition: (@Sendable () -> AuditPosition)?

    /// Whether a change's caller may still make it, asked where changes follow one another: one that was allowed when it was begun must not
    /// be made after that was taken back.
    var admission: (@Sendable (ChangeNote) -> Bool)?

    /// Told when another program has changed the database while it was believed. Called with no lock of the store held.
    var whenForeign: (@Sendable () -> Void)?
}
