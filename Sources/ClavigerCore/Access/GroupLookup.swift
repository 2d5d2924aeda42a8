/// Finds the numbers of groups.
package enum GroupLookup {
    /// The number of a group; nil when there is none of that name.
    package static func number(_ group: Configuration.GroupName) -> UInt32? {
        switch group {
        case .number(let number): number
        case .name(let name): AccountLookup.group(named: name)
        }
    }
}
