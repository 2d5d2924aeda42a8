import Glibc
import Synchronization

/// The names that come into directories from a moment on, as the kernel tells them (inotify(7)): so that nobody has to read
/// directories of many thousand files to find one.
final class Arrivals: Sendable {
    private let file: Int32
    private let directories: [Int32: String]
    private let names: Mutex<[String: Set<String>]>

    /// Begins to watch.
    ///
    /// - Returns: nil where the kernel does not watch them: one is gone, or the user has too many instances already.
    init?(in paths: [String]) {
        // As IN_NONBLOCK and IN_CLOEXEC are defined.
        file = inotify_init1(O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { return nil }
        var directories: [Int32: String] = [:]
        for path in paths {
            let watch = inotify_add_watch(file, path, UInt32(IN_CREATE | IN_MOVED_TO | IN_ONLYDIR))
            guard watch >= 0 else {
                close(file)
                return nil
            }
            directories[watch] = path
        }
        self.directories = directories
        names = Mutex(Dictionary(uniqueKeysWithValues: paths.map { ($0, []) }))
    }

    deinit { close(file) }

    /// The names that have come into a directory so far; nil for one that is not watched.
    ///
    /// - Throws: `EOVERFLOW` when so many came that the kernel has lost some.
    func names(in directory: String) throws(FileError) -> Set<String>? {
        try take()
        return names.withLock { $0[directory] }
    }

    private func take() throws(FileError) {
        let room = 16_384
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: MemoryLayout<inotify_event>.alignment)
        defer { buffer.deallocate() }
        while true {
            let count = read(file, buffer.baseAddress, room)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                guard count == 0 || errno == EAGAIN else { throw FileError("watch", "the token's directories", errno) }
                return
            }
            try note(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    private func note(_ events: UnsafeRawBufferPointer) throws(FileError) {
        let head = MemoryLayout<inotify_event>.size
        var place = 0
        while place + head <= events.count {
            let event = events.loadUnaligned(fromByteOffset: place, as: inotify_event.self)
            let end = place + head + Int(event.len)
            guard end <= events.count else { throw FileError("watch", "the token's directories", EBADMSG) }
            guard event.mask & UInt32(IN_Q_OVERFLOW) == 0 else { throw FileError("watch", "the token's directories", EOVERFLOW) }
            if let directory = directories[event.wd] {
                // Padded with zeros.
                let name = String(decoding: events[(place + head)..<end].prefix { $0 != 0 }, as: UTF8.self)
                names.withLock { _ = $0[directory]?.insert(name) }
            }
            place = end
        }
    }
}
