import ClavigerCore
import Cryptoki
import SecureMemory

// The PINs of a token that is set up: given, kept from an earlier run, or generated; and handed over in the end.
extension TokenInit {
    mutating func securityOfficerPIN(_ info: TokenInfo) throws(AdminError) -> SecretBytes {
        if let given = request.securityOfficerPIN.take() {
            try PINRules.check(
                given, name: "SO PIN", minimum: info.minimumPINLength, maximum: info.maximumPINLength,
                isSoftware: access.configuration.module.softwareToken, allowsWeak: request.allowsWeakPIN)
            let kept = try copy(given)
            request.securityOfficerPIN = consume given
            return kept
        }
        if let earlier = try pending.read(.securityOfficer) { return earlier }
        guard !info.flags.contains(.initialized) else {
            throw .pin("token '\(info.label)' has no user PIN yet: give its SO PIN with --so-pin-file or --so-pin-prompt")
        }
        let made = try PINRules.generate(maximum: info.maximumPINLength)
        try pending.write(.securityOfficer, made)
        return made
    }

    mutating func userPIN(_ info: TokenInfo, mayGenerate: Bool) throws(AdminError) -> SecretBytes {
        if let given = request.userPIN.take() {
            if mayGenerate {
                try PINRules.check(
                    given, name: "user PIN", minimum: info.minimumPINLength, maximum: info.maximumPINLength,
                    isSoftware: access.configuration.module.softwareToken, allowsWeak: request.allowsWeakPIN)
            }
            let kept = try copy(given)
            request.userPIN = consume given
            return kept
        }
        if let earlier = try pending.read(.user) { return earlier }
        if let source = access.configuration.token.pin, PINReader.isThere(source) {
            let known = try explain(AdminError.file) { () throws(FileError) in try PINReader.read(source) }
            userPINSource = known.source
            return try copy(known.pin)
        }
        guard mayGenerate else {
            throw .pin("token '\(info.label)' has a user PIN already: give it with --pin-file, --pin-prompt or --pin-credential")
        }
        let made = try PINRules.generate(maximum: info.maximumPINLength)
        try pending.write(.user, made)
        return made
    }

    private func copy(_ pin: borrowing SecretBytes) throws(AdminError) -> SecretBytes {
        do throws(SecureMemoryError) { return try pin.prefix(pin.count) } catch {
            throw .setUp("memory for a PIN cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l)")
        }
    }

    /// Gives generated PINs to their owner, durably, and only then forgets them.
    mutating func handOver() throws(AdminError) {
        if let pin = try pending.read(.user) {
            if case .file(let path)? = access.configuration.token.pin {
                let bytes = pin.bytes
                try explain(AdminError.file) { () throws(FileError) in try Files.replace(path, with: bytes, mode: 0o400) }
                userPINFile = path
                note("wrote the user PIN to \(path)")
            } else {
                try present("user PIN", pin)
            }
        }
        if let pin = try pending.read(.securityOfficer) {
            if let path = request.securityOfficerPINFile {
                let bytes = pin.bytes
                try explain(AdminError.file) { () throws(FileError) in try Files.replace(path, with: bytes, mode: 0o400) }
                note("wrote the SO PIN to \(path): keep it elsewhere, it can reset the user PIN")
            } else {
                try present("SO PIN", pin)
            }
        }
        pendingToken.remove()
        try pending.remove()
    }

    private func present(_ name: String, _ pin: borrowing SecretBytes) throws(AdminError) {
        guard pin.withUnsafeBytes({ show(name, $0) }) else {
            throw .pin("the generated \(name) could not be shown; it is kept, and the next run shows it")
        }
    }
}
