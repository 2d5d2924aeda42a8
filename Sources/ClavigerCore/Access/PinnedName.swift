/// What a user was called when something of his was written down, so that whoever gets his number later is told from him.
package enum PinnedName: Equatable, Sendable {
    /// Not known: written before names were kept, or while the account database did not answer. Then the number alone counts.
    case unknown
    /// The number had no name.
    case none
    case name(String)

    /// The name of a user today, as it is to be written down.
    init(_ user: UInt32, _ accounts: some AccountNames) {
        switch accounts.user(user) {
        case nil: self = .none
        case AccountCache.unknown?: self = .unknown
        case let name?: self = .name(name)
        }
    }

    /// As it is stored: nothing, an empty text for no name, or the name.
    init(stored: String?) {
        switch stored {
        case nil: self = .unknown
        case ""?: self = .none
        case let name?: self = .name(name)
        }
    }

    /// As it is stored.
    var stored: String? {
        switch self {
        case .unknown: nil
        case .none: ""
        case .name(let name): name
        }
    }

    /// Whether the number belongs to the same user on a later day.
    ///
    /// - Parameter today: the name of that day.
    /// - Returns: nil when that cannot be told.
    func isSame(as today: PinnedName) -> Bool? {
        if self == .unknown { return true }
        return today == .unknown ? nil : self == today
    }
}
