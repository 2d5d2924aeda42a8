import Glibc

extension Configuration {
    /// Reads the file at `path`.
    ///
    /// Throws unless it is a regular file of root or of the daemon's user that nobody else can write, is at most
    /// ``ConfigurationLimits/fileBytes`` long and is right in every key; see ``ConfigurationError``. The same holds for the token
    /// profile that it names.
    package static func load(path: String) throws(ConfigurationError) -> Configuration {
        try parse(try content(path), file: path, profiles: profileSource(besides: path))
    }

    /// The content of a file that only root or this user can have written.
    static func content(_ path: String) throws(ConfigurationError) -> [UInt8] {
        // O_NONBLOCK: opening a pipe must fail below, not wait for a writer.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            let code = errno
            throw code == ENOENT ? .missing(path: path) : .unreadable(path: path, code: code)
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw .unreadable(path: path, code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notAFile(path: path) }
        guard status.st_uid == 0 || status.st_uid == geteuid(), status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
            throw .writableByOthers(path: path)
        }
        return try contents(of: file, path: path)
    }

    private static func contents(of file: Int32, path: String) throws(ConfigurationError) -> [UInt8] {
        // One byte more than allowed, so that a longer file shows; its size could change after fstat.
        var bytes = [UInt8](repeating: 0, count: ConfigurationLimits.fileBytes + 1)
        var filled = 0
        while filled < bytes.count {
            let start = filled
            let count = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress?.advanced(by: start), $0.count - start) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .unreadable(path: path, code: errno) }
            if count == 0 { break }
            filled += count
        }
        guard filled <= ConfigurationLimits.fileBytes else { throw .tooLarge(path: path) }
        return Array(bytes[..<filled])
    }

    /// Sets the module's environment in this process.
    ///
    /// To be called before the module is loaded and before any thread starts: setenv(3) is not safe beside a getenv(3) elsewhere.
    /// Throws ``ConfigurationError/environment(name:code:)``.
    package func applyEnvironment() throws(ConfigurationError) {
        for variable in module.environment {
            guard setenv(variable.name, variable.value, 1) == 0 else { throw .environment(name: variable.name, code: errno) }
        }
    }
}
