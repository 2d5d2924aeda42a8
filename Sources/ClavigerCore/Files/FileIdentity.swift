import Glibc

/// Which file it is, whatever its path leads to now.
package struct FileIdentity: Sendable, Equatable {
    private let device: UInt64
    private let inode: UInt64

    /// That of no file.
    package init() { (device, inode) = (0, 0) }

    /// That of a file that the kernel described.
    package init(_ status: stat) { (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino)) }
}
