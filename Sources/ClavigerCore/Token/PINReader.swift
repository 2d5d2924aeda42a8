import ClavigerWire
import Glibc
import SecureMemory

/// A user PIN and where it came from.
package struct RetainedPIN: ~Copyable {
    /// The PIN, in locked memory.
    package let pin: SecretBytes
    /// What identifies its source.
    package let source: PINSourceIdentity
    /// Whether it has succeeded before, or an operator presents it now; else the login marker decides whether it may be tried.
    package let isKnownGood: Bool
    /// Whether the token has taken it before.
    package let hasSucceeded: Bool

    /// The same, now that the token has taken it.
    consuming func known() -> RetainedPIN {
        RetainedPIN(pin: pin, source: source, isKnownGood: true, hasSucceeded: true)
    }
}

/// Reads the user PIN from its configured source.
package enum PINReader {
    /// Reads the PIN. One newline at the end does not belong to it; every other byte does.
    ///
    /// - Throws: `FileError` when the file is missing, empty, too long, or open to others than its owner.
    package static func read(_ source: Configuration.PINSource) throws(FileError) -> RetainedPIN {
        switch source {
        case .file(let path):
            // The identity is taken first: a file replaced in between is then tried once more, never once too often unseen.
            let identity = try PINSourceIdentity(file: path)
            return RetainedPIN(
                pin: try content(path, check: { (status) throws(FileError) in try requirePrivate(status, path) }),
                source: identity, isKnownGood: false, hasSucceeded: false)
        case .credential(let name):
            guard let directory = getenv("CREDENTIALS_DIRECTORY") else {
                throw FileError(
                    "no credentials were passed: start the daemon by its unit, with LoadCredential=\(name)", "credential \(name)",
                    0)
            }
            let path = String(cString: directory) + "/" + name
            // systemd makes a credential's file anew at every start, so inode and time would call each restart a new source.
            return RetainedPIN(
                pin: try content(path), source: PINSourceIdentity(name: PINSourceIdentity.credentialPrefix + name),
                isKnownGood: false,
                hasSucceeded: false)
        }
    }

    /// Whether there is anything at a source; what is wrong with it shows when it is read.
    package static func isThere(_ source: Configuration.PINSource) -> Bool {
        switch source {
        case .file(let path): Files.status(path) != nil || errno != ENOENT
        case .credential(let name):
            getenv("CREDENTIALS_DIRECTORY").map { Files.status(String(cString: $0) + "/" + name) != nil } ?? false
        }
    }

    /// How a source is called in messages.
    package static func name(_ source: Configuration.PINSource) -> String {
        switch source {
        case .file(let path): path
        case .credential(let name): "credential \(name)"
        }
    }

    /// What identifies a source, without reading it.
    package static func identity(_ source: Configuration.PINSource) throws(FileError) -> PINSourceIdentity {
        switch source {
        case .file(let path): try PINSourceIdentity(file: path)
        case .credential(let name): PINSourceIdentity(name: PINSourceIdentity.credentialPrefix + name)
        }
    }

    private static func requirePrivate(_ status: stat, _ path: String) throws(FileError) {
        guard status.st_mode & 0o077 == 0 else {
            throw FileError("holds a PIN and must not be open to others: chmod 0400 it", path, 0)
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw FileError("holds a PIN and must belong to root or to the daemon's user", path, 0)
        }
    }

    private static func content(
        _ path: String, check: (stat) throws(FileError) -> Void = { _ in }
    ) throws(FileError) -> SecretBytes {
        let bytes = try Files.readSecret(path, maximum: Limits.maximumPIN + 1, check: check)
        let ends = bytes.withUnsafeBytes { $0.last == UInt8(ascii: "\n") }
        let count = ends ? bytes.count - 1 : bytes.count
        guard count > 0 else { throw FileError("holds no PIN", path, 0) }
        guard count <= Limits.maximumPIN else {
            throw FileError("holds a PIN longer than \(Limits.maximumPIN) bytes", path, 0)
        }
        do throws(SecureMemoryError) {
            return try bytes.prefix(count)
        } catch {
            throw FileError("lock memory for", path, ENOMEM)
        }
    }
}
