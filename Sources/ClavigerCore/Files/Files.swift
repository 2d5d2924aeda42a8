import CLinux
import Glibc
import SecureMemory

/// Why a file could not be used.
package struct FileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was being done.
    package var action: String
    /// To which file.
    package var path: String
    /// errno, or 0 when the content is the trouble and `action` says so.
    package var code: Int32

    package init(_ action: String, _ path: String, _ code: Int32) {
        self.action = action
        self.path = path
        self.code = code
    }

    package var description: String {
        code == 0 ? "\(path): \(action)" : "cannot \(action) \(path): \(String(cString: strerror(code)))"
    }
}

/// Reading and writing of small files that must survive a crash whole.
package enum Files {
    /// The greatest file that `read` takes: metadata, PINs and token objects are far smaller.
    package static let maximumSize = 1 << 20

    /// The whole content of a file without secrets.
    package static func read(_ path: String) throws(FileError) -> [UInt8] {
        let file = try open(path, O_RDONLY, "read")
        defer { close(file) }
        let size = try size(file, path)
        var bytes = [UInt8](repeating: 0, count: size)
        let count = bytes.withUnsafeMutableBytes { fill($0, from: file, path) }
        return Array(bytes.prefix(try count.get()))
    }

    /// The whole content of a file that holds a secret, in locked memory.
    ///
    /// - Parameter check: looks at the very file that is read, and may refuse it.
    package static func readSecret(
        _ path: String, maximum: Int, check: (stat) throws(FileError) -> Void = { _ in }
    ) throws(FileError) -> SecretBytes {
        let file = try open(path, O_RDONLY | O_NONBLOCK, "read")
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw FileError("examine", path, errno) }
        try check(status)
        let size = try size(file, path)
        guard size <= maximum else { throw FileError("is longer than \(maximum) bytes", path, 0) }
        var bytes = try locked(size, path)
        let count = try bytes.withUnsafeMutableBytes({ fill($0, from: file, path) }).get()
        guard count < size else { return bytes }
        var shorter = try locked(count, path)
        shorter.withUnsafeMutableBytes { target in
            bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
        }
        return shorter
    }

    private static func locked(_ count: Int, _ path: String) throws(FileError) -> SecretBytes {
        do throws(SecureMemoryError) {
            return try SecretBytes(count: count)
        } catch {
            switch error {
            case .cannotLock(_, let code): throw FileError("lock memory for", path, code)
            }
        }
    }

    /// Replaces a file's content so that a crash leaves the old content or the new, never a mixture: temporary file, fsync,
    /// rename, fsync of the directory.
    package static func replace(_ path: String, with bytes: RawSpan, mode: mode_t = 0o600) throws(FileError) {
        let temporary = path + ".new"
        unlink(temporary)
        let file = try open(temporary, O_WRONLY | O_CREAT | O_EXCL, "create", mode)
        do throws(FileError) {
            defer { close(file) }
            guard fchmod(file, mode) == 0 else { throw FileError("set the mode of", temporary, errno) }
            try write(bytes, to: file, temporary)
            guard fsync(file) == 0 else { throw FileError("sync", temporary, errno) }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else {
            let code = errno
            unlink(temporary)
            throw FileError("replace", path, code)
        }
        try syncDirectory(parent(of: path))
    }

    /// Makes a file and the directory entry durable.
    package static func sync(_ path: String) throws(FileError) {
        let file = try open(path, O_RDONLY, "sync")
        defer { close(file) }
        guard fsync(file) == 0 else { throw FileError("sync", path, errno) }
    }

    /// Makes a directory's entries durable.
    package static func syncDirectory(_ path: String) throws(FileError) {
        let directory = try open(path, O_RDONLY | O_DIRECTORY, "sync")
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw FileError("sync", path, errno) }
    }

    /// The names in a directory, without `.` and `..`, ascending.
    package static func list(_ path: String) throws(FileError) -> [String] { try list(path, except: []) }

    /// The names in a directory that are not in `known`, as `digests` has them; ascending, without `.` and `..`.
    package static func list(_ path: String, except known: Set<Int>) throws(FileError) -> [String] {
        var names: [String] = []
        try forEachName(path) { bytes in
            guard known.isEmpty || !known.contains(digest(bytes)) else { return }
            let name = String(decoding: bytes, as: UTF8.self)
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The names in a directory as numbers, good within this process: so thousands are compared without a string each.
    package static func digests(_ path: String) throws(FileError) -> Set<Int> {
        var digests: Set<Int> = []
        try forEachName(path) { digests.insert(digest($0)) }
        return digests
    }

    private static func digest(_ name: UnsafeRawBufferPointer) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: name)
        return hasher.finalize()
    }

    private static func forEachName(_ path: String, _ body: (UnsafeRawBufferPointer) -> Void) throws(FileError) {
        guard let directory = opendir(path) else { throw FileError("list", path, errno) }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            // In place: the record ends with its name, and a copy of the whole field would read beyond it.
            withUnsafeMutablePointer(to: &entry.pointee.d_name) { name in
                let start = UnsafeRawPointer(name)
                body(UnsafeRawBufferPointer(start: start, count: strlen(start.assumingMemoryBound(to: CChar.self))))
            }
        }
    }

    /// Makes a directory, and says nothing when it is there already.
    package static func makeDirectory(_ path: String, mode: mode_t = 0o700) throws(FileError) {
        guard mkdir(path, mode) == 0 || errno == EEXIST else { throw FileError("create", path, errno) }
    }

    /// What the file system says of a path, nil when there is nothing.
    package static func status(_ path: String) -> stat? {
        var status = stat()
        return stat(path, &status) == 0 ? status : nil
    }

    /// The directory that `path` lies in.
    package static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func open(
        _ path: String, _ flags: Int32, _ action: String, _ mode: mode_t = 0
    ) throws(FileError) -> Int32 {
        let file = Glibc.open(path, flags | O_CLOEXEC, mode)
        guard file >= 0 else { throw FileError(action, path, errno) }
        return file
    }

    private static func size(_ file: Int32, _ path: String) throws(FileError) -> Int {
        var status = stat()
        guard fstat(file, &status) == 0 else { throw FileError("examine", path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw FileError("is not a regular file", path, 0) }
        guard status.st_size <= maximumSize else { throw FileError("is longer than \(maximumSize) bytes", path, 0) }
        return Int(status.st_size)
    }

    private static func fill(
        _ buffer: UnsafeMutableRawBufferPointer, from file: Int32, _ path: String
    ) -> Result<Int, FileError> {
        var offset = 0
        while offset < buffer.count {
            let count = Glibc.read(file, buffer.baseAddress.map { $0 + offset }, buffer.count - offset)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { return .failure(FileError("read", path, errno)) }
            if count == 0 { break }
            offset += count
        }
        return .success(offset)
    }

    private static func write(_ bytes: RawSpan, to file: Int32, _ path: String) throws(FileError) {
        var offset = 0
        while offset < bytes.byteCount {
            let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress.map { $0 + offset }, $0.count - offset) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw FileError("write", path, count < 0 ? errno : ENOSPC) }
            offset += count
        }
    }
}
