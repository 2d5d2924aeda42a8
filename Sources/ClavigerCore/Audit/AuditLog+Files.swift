import CLinux
import Glibc

// What is done to whole files.
extension AuditLog {
    /// Keeps room on the disk for the record that says that the log stopped.
    func keepReserve() throws(FileError) {
        let file = Glibc.open(reservePath, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw FileError("create", reservePath, errno) }
        defer { close(file) }
        guard linux_fallocate(file, 0, AuditLog.reserveBytes) == 0 else {
            let code = errno
            // File systems without fallocate cannot promise room.
            guard code == EOPNOTSUPP else { throw FileError("keep room in", reservePath, code) }
            return
        }
    }

    /// Moves the end of a file to another.
    func setAside(_ path: String, from offset: Int, to aside: String) throws(FileError) {
        let file = Glibc.open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw FileError("open", path, errno) }
        defer { close(file) }
        try AuditLog.copy(file, from: offset, to: aside)
        guard ftruncate(file, off_t(offset)) == 0, fsync(file) == 0 else { throw FileError("cut", path, errno) }
    }

    /// Copies an open file from `offset` to its end into a new file, durably.
    static func copy(_ file: Int32, from offset: Int, to path: String) throws(FileError) {
        let target = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard target >= 0 else { throw FileError("create", path, errno) }
        defer { close(target) }
        var status = stat()
        // Said at once when there is no room, instead of after the writing of half of it.
        if fstat(file, &status) == 0, Int(status.st_size) > offset,
            linux_fallocate(target, 0, Int64(status.st_size) - Int64(offset)) != 0, errno != EOPNOTSUPP
        {
            throw FileError("keep room in", path, errno)
        }
        var block = [UInt8](repeating: 0, count: 1 << 20)
        var place = offset
        while true {
            let count = pread(file, &block, block.count, off_t(place))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw FileError("read", path, errno) }
            if count == 0 { break }
            let code = write(Array(block[..<count]), to: target)
            guard code == 0 else { throw FileError("write", path, code) }
            place += count
        }
        guard ftruncate(target, off_t(place - offset)) == 0, fsync(target) == 0 else { throw FileError("sync", path, errno) }
        try Files.syncDirectory(Files.parent(of: path))
    }

    /// Has a file that is left as it is on the disk, as far as that can be done.
    func sync(_ segment: AuditSegment) {
        let file = Glibc.open(segment.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { return }
        _ = settings.sync(file)
        close(file)
    }
}
