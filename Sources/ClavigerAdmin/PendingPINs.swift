import ClavigerCore
import Glibc
import SecureMemory

/// PINs that were generated and have not been handed over yet: written durably before the token hears of them, so that a kill
/// anywhere in between locks nobody out, and removed when the set-up is whole.
struct PendingPINs {
    private let directory: String

    enum Kind: String {
        case user = "user-pin"
        case securityOfficer = "so-pin"
    }

    init(stateDirectory: String) { directory = stateDirectory + "/token-init" }

    private func path(_ kind: Kind) -> String { directory + "/" + kind.rawValue }

    /// The PIN that an earlier run generated.
    func read(_ kind: Kind) throws(AdminError) -> SecretBytes? {
        guard Files.status(path(kind)) != nil else { return nil }
        return try explain(AdminError.file) { () throws(FileError) in
            try Files.readSecret(path(kind), maximum: PINRules.generatedLength)
        }
    }

    /// Keeps a PIN until the end.
    func write(_ kind: Kind, _ pin: borrowing SecretBytes) throws(AdminError) {
        let bytes = pin.bytes
        try explain(AdminError.file) { () throws(FileError) in
            try Files.makeDirectory(directory)
            try Files.replace(path(kind), with: bytes)
        }
    }

    /// Forgets all PINs.
    func remove() throws(AdminError) {
        guard Files.status(directory) != nil else { return }
        for kind in [Kind.user, .securityOfficer] { unlink(path(kind)) }
        rmdir(directory)
        try explain(AdminError.file) { () throws(FileError) in try Files.syncDirectory(Files.parent(of: directory)) }
    }
}
