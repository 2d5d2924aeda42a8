import ClavigerClient
import Glibc

/// A file that appears whole or not at all: written under a temporary name beside its place, then renamed.
///
/// It is opened before the daemon is asked, so that a result is not made in vain. An uncommitted file is removed.
struct OutputFile: ~Copyable {
    private let path: String
    private let temporary: String
    private let file: Int32
    private var isCommitted = false

    /// Opens the temporary file, readable by its owner alone.
    ///
    /// - Parameter mode: the mode of the finished file; the caller's umask does not widen it.
    /// - Throws: when `path` names something other than a regular file of the caller's own or nothing at all: neither a link nor
    ///   a device nor somebody else's file is replaced.
    init(_ path: String, mode: mode_t) throws(CommandFailure) {
        try OutputFile.check(path)
        let temporary = OutputFile.directory(of: path) + "/.claviger-\(UInt64.random(in: .min ... .max)).tmp"
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw .failed("cannot write \(path): \(systemError(errno))", "check that its directory exists and is yours to write")
        }
        if mode != 0o600 { fchmod(file, mode) }
        self.path = path
        self.temporary = temporary
        self.file = file
    }

    deinit {
        close(file)
        if !isCommitted { unlink(temporary) }
    }

    /// Writes the content and puts the file in its place, synced.
    consuming func commit(_ content: RawSpan) throws(CommandFailure) {
        guard writeAll(file, content), fsync(file) == 0, rename(temporary, path) == 0 else {
            throw .failed("cannot write \(path): \(systemError(errno))", "check the space and rights there")
        }
        isCommitted = true
        let directory = open(OutputFile.directory(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory >= 0 {
            fsync(directory)
            close(directory)
        }
    }

    /// Whether `path` may be replaced: a regular file of the caller's own, or nothing at all.
    static func check(_ path: String) throws(CommandFailure) {
        guard !path.isEmpty, !path.utf8.contains(0) else { throw .usage("an output file needs a name", "give one") }
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() else {
            throw .failed("\(path) exists and is not a regular file of yours", "choose another name; '-' means stdout")
        }
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// Where plaintext goes.
enum PlaintextDestination: ~Copyable {
    case file(OutputFile)
    case standardOutput

    /// The destination that the command line names: a file, `-` for stdout, or stdout when nothing is named and no person would
    /// see it.
    init(_ name: String?) throws(CommandFailure) {
        switch name {
        case .some("-"): self = .standardOutput
        case .some(let path): self = .file(try OutputFile(path, mode: 0o600))
        case nil:
            try PlaintextDestination.refuseTerminal(nil)
            self = .standardOutput
        }
    }

    /// Refuses to show plaintext to a person who has not asked for it by name.
    static func refuseTerminal(_ name: String?) throws(CommandFailure) {
        guard name != nil || !StandardOutput.isTerminal else {
            throw .usage(
                "the plaintext would be shown on this terminal",
                "redirect stdout, name a file with --plaintext-out FILE, or insist with --plaintext-out -")
        }
    }

    /// Writes it.
    consuming func write(_ plaintext: RawSpan) throws(CommandFailure) {
        switch consume self {
        case .file(let file): try file.commit(plaintext)
        case .standardOutput: try StandardOutput.write(plaintext)
        }
    }
}

/// Where an envelope goes, and in which form.
struct EnvelopeDestination: ~Copyable {
    private var file: OutputFile?
    private let isRaw: Bool

    /// A file, or stdout when none is named.
    init(_ path: String?, raw: Bool) throws(CommandFailure) {
        guard path != nil || !raw || !StandardOutput.isTerminal else {
            throw .usage("a raw envelope would be shown on this terminal", "redirect stdout, or leave --raw away")
        }
        file = try EnvelopeDestination.open(path)
        isRaw = raw
    }

    // Envelopes are no secrets: others may read them unless the caller's umask says otherwise.
    private static func open(_ path: String?) throws(CommandFailure) -> OutputFile? {
        guard let path else { return nil }
        return try OutputFile(path, mode: 0o666 & ~umaskNow())
    }

    /// Writes it, in text form with its newline unless raw was asked for.
    consuming func write(_ envelope: [UInt8]) throws(CommandFailure) {
        let bytes = isRaw ? envelope : Array((EnvelopeText.encode(envelope.span.bytes) + "\n").utf8)
        if let file = file.take() { try file.commit(bytes.span.bytes) } else { try StandardOutput.write(bytes.span.bytes) }
    }

    // The umask can only be read by setting it; this program has one thread where it does so.
    private static func umaskNow() -> mode_t {
        let mask = umask(0o077)
        umask(mask)
        return mask
    }
}
