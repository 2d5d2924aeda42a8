import Glibc

/// Who is granted everything when an instance begins.
package enum FirstGrants {
    /// User 0 and the owner of the state directory, which the daemon runs as.
    package static func users(ownerOf stateDirectory: String) -> [Subject.Account] {
        var numbers: [UInt32] = [0]
        if let owner = Files.status(stateDirectory)?.st_uid, owner != 0 { numbers.append(owner) }
        return numbers.map { Subject.Account(number: $0, name: AccountLookup.name(.user, $0)) }
    }
}
